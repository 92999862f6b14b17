"""A program that has said that it serves, and listens only later, is waited for; one that ends is told of."""

from __future__ import annotations

import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.unit.serving import free_port, wait_until_serving

PROGRAM = """
import socket, sys, time
port, *words = sys.argv[1:]
listener = socket.socket()
listener.bind(("127.0.0.1", int(port)))
for word in words:
    print(word, flush=True)
    time.sleep(0.4)
if words[-1] == "ends":
    sys.exit(3)
listener.listen()
time.sleep(60)
"""


class Program:
    def __init__(self, folder: Path) -> None:
        self.log, self.started = folder / "log", list[subprocess.Popen[str]]()

    def run(self, *words: str) -> tuple[subprocess.Popen[str], int, Path]:
        port = free_port()
        command = [sys.executable, "-c", PROGRAM, str(port), *words]
        with self.log.open("w") as log:
            self.started.append(subprocess.Popen(command, stdout=log, text=True))
        return self.started[-1], port, self.log


@pytest.fixture
def program(tmp_path: Path) -> Iterator[Program]:
    program = Program(tmp_path)
    yield program
    for process in program.started:
        process.kill()
        process.wait()


def test_a_word_in_the_log_is_not_yet_a_port_that_accepts(program: Program) -> None:
    process, port, log = program.run("serves", "soon")
    wait_until_serving(process, port, log, "serves")
    with socket.create_connection(("127.0.0.1", port), timeout=5):
        assert process.poll() is None


def test_a_program_that_ends_is_told_of_with_its_log(program: Program) -> None:
    with pytest.raises(AssertionError, match=r"^serves\s+ends\s"):
        wait_until_serving(*program.run("serves", "ends"), "serves")
