"""Files that are no inventory at all, or none that can be read: one sentence each, with the line."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.inventories import copied, problems

FILES = {
    "tab": (
        "services:\n\tx: 1\n",
        "2: found YAML that does not parse (found character '\\t' that cannot start any token)",
    ),
    "open bracket": ("services: {\n  a: 1\n", "YAML that does not parse"),
    "list at the top": ("- a\n- b\n", "1: found no mapping at the top, expected keys with values"),
    "key twice": ("domain: a.b\ndomain: c.d\n", "2: domain: found the key of line 1 again, expected each key once"),
    "key that is a list": ("[a, b]: 1\n", "1: found a list or mapping as a key, expected a plain key"),
    "alias in itself": ("a: &x\n  b: *x\n", "found values nested too deeply, expected at most 40 levels"),
    "other type": ("a: !!binary aGk=\n", "1: a: found the tag tag:yaml.org,2002:binary, expected plain text"),
    "other object": ("a: !!python/object/apply:os.getcwd []\n", "found the tag"),
    "huge number": ("a: " + "9" * 5000 + "\n", "1: a: found a number that is too large"),
    "control character": ("a: \x01\n", "found a character that YAML does not allow, expected printable text"),
}


@pytest.mark.parametrize(("text", "message"), FILES.values(), ids=FILES.keys())
def test_files_that_are_not_an_inventory(tmp_path: Path, text: str, message: str) -> None:
    root = copied(tmp_path)
    (root / "inventories/everydayai/production.yaml").write_text(text)
    (only,) = [str(problem) for problem in problems(root)]
    assert only.startswith("inventories/everydayai/production.yaml")
    assert message in only


def test_a_file_in_another_encoding_names_the_line(tmp_path: Path) -> None:
    root = copied(tmp_path)
    (root / "inventories/everydayai/system.yaml").write_bytes("a: 1\nb: Zürich\n".encode("latin-1"))
    assert [str(problem) for problem in problems(root)] == [
        "inventories/everydayai/system.yaml:2: found bytes that are not UTF-8, expected a file in UTF-8"
    ]


def test_missing_files(tmp_path: Path) -> None:
    root = copied(tmp_path)
    (root / "inventories/everydayai/releases.yaml").unlink()
    (root / "inventories/everydayai/production.yaml").unlink()
    assert [str(problem) for problem in problems(root)] == [
        "inventories/everydayai/production.yaml: found no such file, expected a YAML file",
        "inventories/everydayai/releases.yaml: found no such file, expected a YAML file",
    ]


def test_an_alias_bomb_is_cut_short(tmp_path: Path) -> None:
    root = copied(tmp_path)
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 9)]
    (root / "inventories/everydayai/production.yaml").write_text("\n".join(lines))
    assert "more than 50000 values" in str(problems(root)[0])
