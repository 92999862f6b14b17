"""`mainstay secrets edit` and `rekey`: only what changed is encrypted anew, and nothing readable stays behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.cli.conftest import TARGET, Run, blocks, editor, store_file


def test_edit_encrypts_only_what_changed(filled: Run, project: Path, tmp_path: Path) -> None:
    filled("set", TARGET, "TLS_KEY", stdin="-----BEGIN-----\n  two  \n\nthree é\n\n")
    before = blocks(store_file(project))
    body = (
        "open(f'{os.path.dirname(sys.argv[0])}/seen', 'w').write(f'{path} {stat.S_IMODE(os.stat(path).st_mode):o}')\n"
        "text = re.sub(r'MAP_API_KEY: .*', 'MAP_API_KEY: 0123', text)\n"
        "text = re.sub(r'COOKIE_KEY: .*\\n', '', text) + 'NEW_KEY: \"yes!\"\\n'\n"
        "open(path + '.swp', 'w').write(text); open(path, 'w').write(text)"
    )
    done = filled("edit", TARGET, EDITOR=editor(tmp_path, body), VISUAL="")
    assert done.returncode == 0, done.stderr
    assert done.stdout == (
        "COOKIE_KEY is removed.\nMAP_API_KEY is at version 2.\nNEW_KEY is at version 1.\n"
        "3 changed, 2 untouched in inventories/shop/secrets.staging.yaml.\n"
    )
    after = blocks(store_file(project))
    assert sorted(after) == ["JWT_SECRET_KEY", "MAP_API_KEY", "NEW_KEY", "TLS_KEY"]
    assert all(after[name] == before[name] for name in ("JWT_SECRET_KEY", "TLS_KEY"))
    assert filled("get", TARGET, "MAP_API_KEY").stdout == "0123"
    path, mode = (tmp_path / "seen").read_text().split()
    assert mode == "600"
    assert not Path(path).parent.exists()


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("sys.exit(3)", "edit: the editor ended with 3, nothing is changed"),
        ("open(path, 'w').write('A: [')", "edit: line 1 is not valid YAML, nothing is changed"),
        ("open(path, 'w').write('A: Tr0ub4dor\\n B: x')", "edit: line 2 is not valid YAML, nothing is changed"),
        ("open(path, 'w').write('- Tr0ub4dor')", "edit: found something else than lines of NAME: value"),
        ("open(path, 'w').write('A: {b: Tr0ub4dor}')", "edit: found something else than lines of NAME: value"),
        ("os.unlink(path)", "edit: the editor left no text file, nothing is changed"),
        ("open(path, 'w').write('A: no')", "A: the value has fewer than 4 characters"),
    ],
)
def test_edit_that_goes_wrong_changes_nothing(
    filled: Run, project: Path, tmp_path: Path, body: str, message: str
) -> None:
    before = store_file(project).read_bytes()
    done = filled("edit", TARGET, EDITOR=editor(tmp_path, body), VISUAL="")
    assert (done.returncode, done.stdout) == (2, "")
    assert message in done.stderr
    assert "Tr0ub4dor" not in done.stderr
    assert store_file(project).read_bytes() == before


def test_edit_without_an_editor(filled: Run) -> None:
    done = filled("edit", TARGET, EDITOR="/nowhere/editor", VISUAL="")
    assert done.stderr == "mainstay: edit: cannot start the editor '/nowhere/editor', name one in EDITOR\n"


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGTERM, signal.SIGINT])
def test_edit_leaves_nothing_when_it_is_ended(
    filled: Run, project: Path, environ: dict[str, str], tmp_path: Path, number: signal.Signals
) -> None:
    body = "open(f'{os.path.dirname(sys.argv[0])}/seen', 'w').write(path)\ntime.sleep(30)"
    command = [sys.executable, "-m", "mainstay", "secrets", "edit", TARGET]
    process = subprocess.Popen(
        command,
        cwd=project,
        env={**environ, "EDITOR": editor(tmp_path, body), "VISUAL": ""},
        start_new_session=True,
        # A shell that starts the tests in its background has them ignore Ctrl-C, and that is inherited.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509  no thread here
    )
    seen = tmp_path / "seen"
    deadline = time.monotonic() + 20
    while not (seen.exists() and seen.read_text()):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    os.killpg(process.pid, number)  # as a closing terminal or Ctrl-C does: the editor and the command
    assert process.wait(timeout=20) == 130
    assert not Path(seen.read_text()).parent.exists()


def test_rekey_keeps_versions(filled: Run, project: Path) -> None:
    before = blocks(store_file(project))
    value = filled("get", TARGET, "COOKIE_KEY").stdout
    done = filled("rekey", TARGET)
    assert done.stdout == "3 values encrypted for 1 recipients in inventories/shop/secrets.staging.yaml.\n"
    assert blocks(store_file(project)).keys() == before.keys()
    assert blocks(store_file(project))["COOKIE_KEY"] != before["COOKIE_KEY"]
    assert filled("get", TARGET, "COOKIE_KEY").stdout == value
