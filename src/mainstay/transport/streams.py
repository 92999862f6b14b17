"""How a command on a host is held: as a program of this machine (`ssh`), or as a channel of paramiko.

A third way is a session over a connection that is open already: `mainstay.transport.multiplex`.
"""

from __future__ import annotations

import queue
import subprocess
import tempfile
import threading
from contextlib import suppress
from typing import Any, Protocol

_MOST = 1 << 18


class Stream(Protocol):
    """Both ways of one running command on a host."""

    def read(self) -> bytes:
        """What has come, at least one byte; empty at its end."""

    def write(self, data: bytes) -> None:
        """Sends all of it."""

    def close(self) -> None:
        """Ends it; a `read` that waits returns."""

    def last_words(self) -> str:
        """The last line that it wrote to standard error, for the reason why it ended."""


class Program:
    """A program here (`ssh`, or a shell in tests) whose standard input and output are the stream.

    It is in a session of its own: Ctrl-C at the terminal is for the command, which may still have to put hosts back.
    """

    def __init__(self, argv: list[str]) -> None:
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115  open as long as the program is
        pipe = subprocess.PIPE
        # What it leaves running (a connection that is kept open) must not hold the folder of a project.
        self._process = subprocess.Popen(
            argv, stdin=pipe, stdout=pipe, stderr=self._errors, start_new_session=True, cwd="/"
        )
        assert self._process.stdin is not None and self._process.stdout is not None  # noqa: S101  pipes, as asked
        self._to, self._from = self._process.stdin, self._process.stdout

    def read(self) -> bytes:
        """What has come; empty at the end."""
        piece: bytes = self._from.read1(_MOST)  # type: ignore[attr-defined]  # of gevent's pipes too
        return piece

    def write(self, data: bytes) -> None:
        """Sends all of it."""
        self._to.write(data)
        self._to.flush()

    def close(self) -> None:
        """Ends the program."""
        with suppress(OSError):
            self._to.close()
        with suppress(ProcessLookupError):
            self._process.terminate()
        self._process.wait()

    def last_words(self) -> str:
        """The last line on its standard error."""
        return last_line(self.errors())

    def errors(self) -> bytes:
        """All that is on its standard error."""
        self._errors.seek(0)
        return self._errors.read()

    def status(self, seconds: float = 1) -> int | None:
        """How it ended: an exit code, or less than 0 for a signal; None where it has not, `seconds` from now."""
        try:
            return self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            return None


class Lines:
    """What a command says line by line, while others wait for something else."""

    def __init__(self, stream: Stream) -> None:
        self._stream = stream
        self._lines: queue.SimpleQueue[bytes] = queue.SimpleQueue()
        self.ended = False
        threading.Thread(target=self._read, daemon=True, name="lines").start()

    def first(self, seconds: float) -> bytes:
        """The next line without its end; empty where the command ended before.

        Raises:
            TimeoutError: neither came within `seconds`.
        """
        try:
            return self._lines.get(timeout=seconds)
        except queue.Empty:
            raise TimeoutError(f"no answer within {seconds:g} s") from None

    def come(self) -> list[bytes]:
        """The lines that have come since the last call."""
        found = []
        while not self._lines.empty():
            found.append(self._lines.get())
        return found

    def _read(self) -> None:
        rest = b""
        with suppress(OSError, EOFError):
            while piece := self._stream.read():
                *whole, rest = (rest + piece).split(b"\n")
                for line in whole:
                    self._lines.put(line)
        self.ended = True
        self._lines.put(rest)


class Channel:
    """A command on an open paramiko connection."""

    def __init__(self, client: Any, command: str) -> None:
        self._channel = client.get_transport().open_session()
        self._channel.exec_command(command)

    def read(self) -> bytes:
        """What has come; empty at the end."""
        piece: bytes = self._channel.recv(_MOST)
        return piece

    def write(self, data: bytes) -> None:
        """Sends all of it."""
        self._channel.sendall(data)

    def close(self) -> None:
        """Ends the channel, not its connection."""
        self._channel.close()

    def last_words(self) -> str:
        """The last line on its standard error."""
        said = b""
        with suppress(OSError, EOFError):
            self._channel.settimeout(1)
            while piece := self._channel.recv_stderr(_MOST):
                said += piece
        return last_line(said)


def last_line(said: bytes) -> str:
    """The last line of a text, empty where there is none."""
    lines = said.decode(errors="replace").strip().splitlines()
    return lines[-1] if lines else ""
