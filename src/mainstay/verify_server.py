"""The process that verifications are forked from: what every pytest imports is imported once a command.

Importing takes a second of a processor, and a rollout verifies after each batch, several suites side by side. The
server starts clean of pyinfra's patched standard library, reads requests as lines of JSON, and ends with its input.
A request's runs load and collect at once and wait at a gate, which the word `go` opens and any other closes: what needs
no host is done while the hosts still change.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import signal
import subprocess
import sys
import threading
import traceback
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

from mainstay import inventory, project

_GO = "go\n"
# Words that the gate holds: each run takes one.
_MOST_RUNS = 64
# Nothing of the operator's project: its layers are another for each request.
_PRELOADED = ("pytest", "testinfra.plugin", "pyinfra.api", "mainstay.testing")


@dataclass(frozen=True)
class Request:
    """Runs of pytest, side by side.

    Attributes:
        inventory: SYSTEM/ENV.
        runs: the arguments of each, and the file that takes all that it prints.
        variables: their whole environment.
        folder: where they work.
    """

    inventory: str
    runs: list[tuple[list[str], str]]
    variables: dict[str, str]
    folder: str


class Server:
    """The server, started with the first request or `start`; it lives as long as this process."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[str] | None = None
        self._lock = threading.Lock()
        self._prepared = False

    def start(self) -> subprocess.Popen[str]:
        """Starts it where it does not run, without waiting for it."""
        if self._process is None or self._process.poll() is not None:
            self._process = subprocess.Popen(
                [sys.executable, "-m", __name__], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
            )
        return self._process

    def prepare(self, request: Request) -> None:
        """Has the runs load and collect, up to where they need a host; one that is prepared already is dropped.

        Raises:
            OSError: the server ended.
        """
        with self._lock:
            self._drop()
            self._send(self.start(), json.dumps(asdict(request)) + "\n")
            self._prepared = True

    def go(self) -> list[int]:
        """pytest's exit codes of what is prepared, in the order of the runs; a negative one is a signal's.

        Raises:
            OSError: the server ended.
        """
        with self._lock:
            return self._end(_GO)

    def run(self, request: Request) -> list[int]:
        """`prepare` and `go` in one."""
        self.prepare(request)
        return self.go()

    def _drop(self) -> None:
        if self._prepared:
            with suppress(OSError):  # it ended: then so has what it had prepared
                self._end("drop\n")

    def _end(self, word: str) -> list[int]:
        """Sends the word that what is prepared waits for; its codes."""
        process = self._process
        assert self._prepared and process is not None and process.stdout is not None  # noqa: S101  as `prepare` left it
        self._prepared = False
        self._send(process, word)
        answer = process.stdout.readline()
        if not answer:
            raise OSError(f"the process that verifies ended with {process.wait()}")
        codes: list[int] | None = json.loads(answer)
        if codes is None:
            raise OSError("the process that verifies could not start its runs, or was killed")
        return codes

    @staticmethod
    def _send(process: subprocess.Popen[str], line: str) -> None:
        assert process.stdin is not None  # noqa: S101  as `start` made it
        process.stdin.write(line)
        process.stdin.flush()


def serve() -> None:
    """Answers each request on standard input with the exit codes of its runs, once the line after it has come."""
    # Ctrl-C reaches the whole group of the terminal: it ends the runs, and this process when its parent is done.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    for name in _PRELOADED:
        importlib.import_module(name)
    gc.freeze()
    while line := sys.stdin.readline():
        gate, opener = os.pipe()
        # What a request loads, its own process forgets: the project may have changed by the next one.
        child = _fork(partial(_answer, Request(**json.loads(line)), gate, opener))
        os.close(gate)
        if sys.stdin.readline() == _GO:
            with suppress(BrokenPipeError):  # every run has ended by itself
                os.write(opener, _GO.encode() * _MOST_RUNS)
        os.close(opener)
        if _wait(child):
            _say("null")


def _say(line: str) -> None:
    """Answers; where nobody reads any more, the command has ended (Ctrl-C), and this process is about to."""
    try:
        os.write(1, f"{line}\n".encode())
    except BrokenPipeError:
        os._exit(0)


def _answer(request: Request, gate: int, opener: int) -> int:
    """Loads what the runs share, runs them, prints their exit codes."""
    os.close(opener)  # so that the gate closes with the server
    os.environ.clear()
    os.environ.update(request.variables)
    os.chdir(request.folder)
    with suppress(Exception):  # each run says what is wrong
        project.install()
        from mainstay import testing

        testing.load(request.inventory, inventory.lab_from_environment())
    children = [_fork(partial(_run, arguments, Path(output), gate)) for arguments, output in request.runs]
    _say(json.dumps([_wait(child) for child in children]))
    return 0


def _run(arguments: list[str], output: Path, gate: int) -> int:
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    printed = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    os.dup2(printed, 1)
    os.dup2(printed, 2)
    import pytest

    return int(pytest.main(arguments, plugins=[_Gate(gate)]))


class _Gate:
    """The pytest plugin that holds a run between its collection and its first check."""

    def __init__(self, gate: int) -> None:
        self._gate = gate

    def pytest_runtestloop(self) -> bool | None:
        """Waits for the word; without one nothing is checked (pytest takes the first answer that is not None)."""
        return None if os.read(self._gate, len(_GO)) else True


def _fork(work: Callable[[], int]) -> int:
    """The number of a process that does `work` and ends with what it returns."""
    child = os.fork()
    if child:
        return child
    code = 1
    try:
        code = work()
        sys.stdout.flush()
        sys.stderr.flush()
    except BaseException:  # nothing may get back into the loop of `serve`
        traceback.print_exc()
    finally:
        os._exit(code)


def _wait(child: int) -> int:
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


if __name__ == "__main__":
    serve()
