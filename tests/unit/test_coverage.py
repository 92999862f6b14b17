"""The page of coverage counts a row only when all that claims it ran and passed."""

from __future__ import annotations

import datetime
from pathlib import Path

from tests.coverage import Claim, marked, page, verified

DAY = datetime.date(2026, 11, 22)


def rows(text: str) -> set[str]:
    return {line.split()[1] for line in text.splitlines() if line.startswith("| ") and "`tests/" in line}


def test_a_row_counts_when_every_claim_ran_and_passed() -> None:
    claims = [
        Claim("NX-01", "tests/plan/a.py::x", False, True),
        Claim("NX-01", "tests/lab/b.py::y", True, True),
        Claim("NX-02", "tests/plan/a.py::z", False, True),
        Claim("NX-03", "tests/plan/a.py::x", False, True),
        Claim("NX-03", "tests/plan/a.py::x", False, False),
    ]
    tree = {"tests/plan/a.py::x": {"NX-01", "NX-03"}, "tests/lab/b.py::y": {"NX-01", "NX-02"}, "c::d": {"NX-04"}}
    text = page(claims, DAY, tree)
    assert rows(text) == {"NX-01"}
    assert "| NX-01 | real hosts | `tests/lab/b.py::y`<br>`tests/plan/a.py::x` |" in text
    assert "## Claimed, and failed in this run\n\nNX-03\n" in text
    assert "(`bin/test --all` runs the rest)\n\nNX-02, NX-04\n" in text


def test_markers_are_read_without_importing(tmp_path: Path) -> None:
    folder = tmp_path / "tests"
    folder.mkdir()
    (folder / "test_a.py").write_text(
        "import nothing_of_that_name\n@pytest.mark.covers('NX-01', 'DF-71')\n@other('NX-09')\ndef test_x(): ...\n"
        "def test_y(): ...\n"
    )
    assert marked(folder) == {"tests/test_a.py::test_x": {"NX-01", "DF-71"}}


def test_a_verification_counts_by_the_name_that_verify_gives_it() -> None:
    check = {"component": "nginx", "check": "upstreams name every host of the service", "host": "a", "ok": True}
    name = "tests/verify/test_nginx.py::test_upstreams_name_every_host_of_the_service"
    assert ("NX-01", name, True) in verified([check])
    assert ("NX-01", name, False) in verified([check, {**check, "host": "b", "ok": False}])
    assert verified([{**check, "check": "speaks http 2"}]) == []


def test_each_verification_of_the_tree_has_a_name_that_verify_gives_back() -> None:
    """`test_x_y` reads `x y`: a name with two underscores in a row would be lost on the way back."""
    for name in marked():
        assert "__" not in name.partition("::")[2], name
