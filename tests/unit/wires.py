"""A runner on this machine whose connection can be lost, one way after the other."""

from __future__ import annotations

import socket
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from pathlib import Path

from mainstay.transport.shell import Answer, Shell, result
from mainstay.transport.streams import Program

# A change that says something now and then, and leaves a file in the end.
PRINTS = "for n in 1 2 3 4 5 6; do echo $n; echo $n >&2; sleep 0.2; done; echo done > {}/done"


class Wire:
    """A stream whose two ways break one by one, and that tells the runner nothing else: a connection that is lost."""

    def __init__(self, command: str) -> None:
        (self.to, theirs_in), (self.back, theirs_out) = socket.socketpair(), socket.socketpair()
        with theirs_in, theirs_out:
            self.runner = subprocess.Popen(["sh", "-c", f"exec {command}"], stdin=theirs_in, stdout=theirs_out)

    def read(self) -> bytes:
        return self.back.recv(1 << 16)

    def write(self, data: bytes) -> None:
        self.to.sendall(data)

    def no_input(self) -> None:
        self.to.shutdown(socket.SHUT_RDWR)

    def no_output(self) -> None:
        self.back.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        self.no_output()
        self.no_input()

    def last_words(self) -> str:
        return ""


@contextmanager
def wired() -> Iterator[tuple[Shell, Wire]]:
    wires: list[Wire] = []

    def open_stream(command: str) -> Wire:
        wires.append(Wire(command))
        return wires[0]

    shell = Shell(open_stream, sudo="")
    shell.wait()
    try:
        yield shell, wires[0]
    finally:
        wires[0].runner.kill()
        wires[0].runner.wait()


@contextmanager
def opened(profile: str = "") -> Iterator[Shell]:
    shell = Shell(lambda command: Program(["sh", "-c", f"{profile}\n{command}"]), sudo="")
    try:
        yield shell
    finally:
        shell.close()


def comes(path: Path, seconds: float = 6) -> bool:
    """Whether the file is there by then."""
    deadline = time.monotonic() + seconds
    while not path.exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    return path.exists()


def said(future: Future[Answer]) -> tuple[int, bytes, bytes]:
    answer = result(future, 30)
    return answer.status, answer.out, answer.err
