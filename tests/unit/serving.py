"""A program that a test starts: its release, installed; where it may listen, and when it takes connections."""

from __future__ import annotations

import socket
import subprocess
import sys
import tarfile
import time
from pathlib import Path


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
