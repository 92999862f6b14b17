"""The machine outside: its commands, its files, and locks among the lab's own processes."""

from __future__ import annotations

import fcntl
import os
import socket
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from mainstay.errors import LabError
from mainstay.lab.paths import LOCKS

Say = Callable[[str], None]


def run(
    argv: Sequence[str | Path], *, stdin: str | None = None, env: Mapping[str, str] | None = None, check: bool = True
) -> str:
    """Runs a command of the machine outside and returns its standard output; `env` is added to the environment.

    Raises:
        LabError: it ended with another code than 0 and `check` is set; the message ends with what it said.
    """
    command = [str(word) for word in argv]
    variables = {**os.environ, "LC_ALL": "C.UTF-8", **(env or {})}
    done = subprocess.run(command, input=stdin, env=variables, capture_output=True, text=True, check=False)
    if check and done.returncode:
        raise LabError(f"{_short(command)} ended with {done.returncode}: {_said(done.stderr or done.stdout)}")
    return done.stdout


def write_atomically(path: Path, text: str, mode: int = 0o644) -> None:
    """Writes `text` beside `path` and renames it: a reader sees the old file or the new one."""
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        file.write(text)
    Path(name).chmod(mode)
    Path(name).replace(path)


@contextmanager
def locked(name: str, say: Say) -> Iterator[None]:
    """Holds the lock `name` of this machine; waits for whoever has it, and says so.

    The kernel lets go of it when the process ends, however it ends. Hosts do not inherit it: Python opens files so that
    programs started later cannot see them.
    """
    LOCKS.mkdir(parents=True, exist_ok=True)
    with (LOCKS / name).open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say(f"waiting: another command holds the lock {name!r}")
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def mounts_below(folder: Path) -> list[Path]:
    """What is mounted at `folder` or below, the innermost first."""
    table = Path("/proc/self/mounts").read_text(encoding="utf-8").splitlines()
    points = [Path(line.split(" ")[1].replace("\\040", " ")) for line in table]
    return [point for point in reversed(points) if point == folder or folder in point.parents]


def loop_devices_below(folder: Path) -> list[Path]:
    """The loop devices whose files are in `folder` or below."""
    found = []
    for backing in Path("/sys/block").glob("loop*/loop/backing_file"):
        try:
            file = Path(backing.read_text(encoding="utf-8").strip())
        except OSError:  # freed meanwhile
            continue
        if folder in file.parents:
            found.append(Path("/dev", backing.parts[3]))
    return found


def remove_tree(folder: Path) -> None:
    """Unmounts what is mounted below `folder`, then removes it; nothing happens where there is nothing.

    A mount that a dying process still holds is taken out of sight and ends with that process.

    Raises:
        LabError: it cannot be removed.
    """
    for point in mounts_below(folder):
        run(["umount", "--lazy", point])
    run(["rm", "-rf", "--one-file-system", folder])


def _short(command: list[str]) -> str:
    """The command as an error shows it: its first words, none of them a script."""
    words = [word for word in command if "\n" not in word]
    return " ".join(words[:6]) + (" ..." if len(words) > 6 else "")


def _said(text: str, lines: int = 4) -> str:
    """The last lines of a program's output in one; those that it marked as errors, where there are some."""
    found = [line.strip() for line in text.splitlines() if line.strip()]
    marked = [line for line in found if line.startswith(("E:", "error:", "Error:"))]
    return " | ".join((marked or found)[-lines:]) or "it said nothing"


def connects(address: str, port: int) -> bool:
    """Whether somebody takes TCP connections there, within a second."""
    try:
        with socket.create_connection((address, port), timeout=1):
            return True
    except OSError:
        return False
