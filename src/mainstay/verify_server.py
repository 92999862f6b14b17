"""The process that verifications are forked from: what every pytest imports is imported once a command.

Importing takes a second of a processor, and a rollout verifies after each batch, several suites side by side. The
server starts clean of pyinfra's patched standard library, reads requests as lines of JSON, and ends with its input.
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

    def start(self) -> subprocess.Popen[str]:
        """Starts it where it does not run, without waiting for it."""
        if self._process is None or self._process.poll() is not None:
            self._process = subprocess.Popen(
                [sys.executable, "-m", __name__], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
            )
        return self._process

    def run(self, request: Request) -> list[int]:
        """pytest's exit codes, in the order of the runs; a negative one is the signal that ended it.

        Raises:
            OSError: the server ended.
        """
        with self._lock:
            process = self.start()
            assert process.stdin is not None and process.stdout is not None  # noqa: S101  as `start` made it
            process.stdin.write(json.dumps(asdict(request)) + "\n")
            process.stdin.flush()
            answer = process.stdout.readline()
        if not answer:
            raise OSError(f"the process that verifies ended with {process.wait()}")
        codes: list[int] | None = json.loads(answer)
        if codes is None:
            raise OSError("the process that verifies could not start its runs, or was killed")
        return codes


def serve() -> None:
    """Answers each line of standard input with the exit codes of its runs."""
    # Ctrl-C reaches the whole group of the terminal: it ends the runs, and this process when its parent is done.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    for name in _PRELOADED:
        importlib.import_module(name)
    gc.freeze()
    for line in sys.stdin:
        # What a request loads, its own process forgets: the project may have changed by the next one.
        if _wait(_fork(partial(_answer, Request(**json.loads(line))))):
            print("null", flush=True)


def _answer(request: Request) -> int:
    """Loads what the runs share, runs them, prints their exit codes."""
    os.environ.clear()
    os.environ.update(request.variables)
    os.chdir(request.folder)
    with suppress(Exception):  # each run says what is wrong
        project.install()
        from mainstay import testing

        testing.load(request.inventory, inventory.lab_from_environment())
    children = [_fork(partial(_run, arguments, Path(output))) for arguments, output in request.runs]
    print(json.dumps([_wait(child) for child in children]), flush=True)  # the protocol
    return 0


def _run(arguments: list[str], output: Path) -> int:
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    printed = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    os.dup2(printed, 1)
    os.dup2(printed, 2)
    import pytest

    return int(pytest.main(arguments))


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
