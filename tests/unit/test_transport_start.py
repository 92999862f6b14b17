"""How a runner starts, or does not: profiles that print, and passwords that sudo asks for."""

from __future__ import annotations

from pathlib import Path

import pytest

from mainstay.transport.shell import Shell, result
from mainstay.transport.streams import Program
from tests.unit.wires import opened, said


def test_what_a_profile_prints_is_no_answer() -> None:
    with opened("echo 'Welcome! x 1 0'; printf 'o 1 5'; echo to stderr >&2") as one:
        assert said(one.ask("echo hello")) == (0, b"hello\n", b"")


def test_a_shell_that_does_not_start_says_why() -> None:
    with opened("echo 'sudo: a password is required' >&2; exit 1") as one:
        with pytest.raises(OSError, match="sudo: a password is required"):
            one.wait(5)
        with pytest.raises(OSError, match="a password is required"):
            result(one.ask("true"), 5)
        assert not one.alive


PASSWORD = "correct horse battery"


# Stand-ins for sudo: each runs what it is given, as the user who asks.
ASKS = (
    "read -r said; [ \"$said\" = 'correct horse battery' ] || { echo 'Sorry, try again.' >&2; no=$((no+1)); continue; }"
)


SUDO = f"""#!/bin/sh
while [ "$1" != perl ]; do shift; done
no=0
while [ $no -lt 3 ]; do {ASKS}; exec "$@"; done
echo 'sudo: 3 incorrect password attempts' >&2
exit 1
"""


SUDO_THAT_ASKS_NOTHING = """#!/bin/sh
while [ "$1" != perl ]; do shift; done
exec "$@"
"""


def with_sudo(folder: Path, script: str, password: str) -> Shell:
    program = folder / "sudo"
    program.write_text(script)
    program.chmod(0o755)
    before = f"{password}\n".encode()
    return Shell(lambda text: Program(["sh", "-c", text]), sudo=f"{program} -S -p '' -H ", before=before)


@pytest.mark.parametrize("script", [SUDO, SUDO_THAT_ASKS_NOTHING])
def test_a_password_is_given_to_whoever_asks_and_dropped_else(tmp_path: Path, script: str) -> None:
    """A host whose sudo asks for none, or not again, ran it as the first line of the runner."""
    one = with_sudo(tmp_path, script, PASSWORD)
    try:
        one.wait()
        assert said(one.ask("echo hello")) == (0, b"hello\n", b"")
        assert said(one.change("cat", b"input")) == (0, b"input", b"")
    finally:
        one.close()


def test_a_wrong_password_is_one_sentence_without_it(tmp_path: Path) -> None:
    one = with_sudo(tmp_path, SUDO, "not that one")
    try:
        with pytest.raises(OSError, match=r"^sudo: 3 incorrect password attempts$"):
            one.wait()
        with pytest.raises(OSError, match=r"^sudo: 3 incorrect password attempts$"):
            result(one.ask("true"), 5)
    finally:
        one.close()
