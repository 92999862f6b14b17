"""A runner on this machine whose connection can be lost, one way after the other."""

from __future__ import annotations

import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

from mainstay.transport.shell import Shell


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
