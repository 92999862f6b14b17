"""A program that a test starts: its release, installed; where it may listen, and when it takes connections."""

from __future__ import annotations

import socket
import subprocess
import sys
import tarfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

Started = Callable[[Sequence[str], Path, Mapping[str, str], Path], subprocess.Popen[str]]


def unpacked(artefact: Path, folder: Path) -> Path:
    """`folder`, with what the artefact holds."""
    with tarfile.open(artefact) as tar:
        tar.extractall(folder, filter="data")
    return folder


def installed(artefact: Path, folder: Path) -> Path:
    """The same of an artefact in Python, with its own wheels in `venv` as a host installs them."""
    unpacked(artefact, folder)
    subprocess.run([sys.executable, "-m", "venv", str(folder / "venv")], check=True)
    install = [str(folder / "venv/bin/pip"), "install", "--quiet", "--no-index", "--require-hashes"]
    install += ["--disable-pip-version-check", "--find-links", str(folder / "wheels")]
    subprocess.run([*install, "-r", str(folder / "requirements.txt")], check=True)
    return folder


@contextmanager
def programs() -> Iterator[Started]:
    """What starts a program in a folder with its variables, its output in a log; each that was started ends with it."""
    started: list[subprocess.Popen[str]] = []

    def start(command: Sequence[str], folder: Path, variables: Mapping[str, str], log: Path) -> subprocess.Popen[str]:
        with log.open("w") as said:
            started.append(
                subprocess.Popen(command, cwd=folder, env=variables, stdout=said, stderr=subprocess.STDOUT, text=True)
            )
        return started[-1]

    yield start
    for process in started:
        process.terminate()
        process.wait(timeout=30)


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def wait_until_serving(process: subprocess.Popen[str], port: int, log: Path, *words: str) -> None:
    """Returns once `log` holds all of `words` and `port` of 127.0.0.1 accepts.

    `words` come first because a program that says them has the port bound: a connection to a port that nobody has may
    meet itself. They do not suffice, for uvicorn's lifespan runs before it listens, and with several workers its parent
    binds what only a worker listens on.

    Raises AssertionError, with the log, when the program has ended or 60 s have passed.
    """
    deadline = time.monotonic() + 60
    while not (all(word in log.read_text() for word in words) and _accepts(port)):
        assert time.monotonic() < deadline and process.poll() is None, log.read_text()
        time.sleep(0.05)


def _accepts(port: int) -> bool:
    with socket.socket() as asking:
        asking.settimeout(5)
        return asking.connect_ex(("127.0.0.1", port)) == 0
