"""The two ways in which a command on a host is held: a program of this machine, and a channel of paramiko."""

from __future__ import annotations

import subprocess
import tempfile
from contextlib import suppress
from typing import Any

_MOST = 1 << 18


class Program:
    """A program here (`ssh`, or a shell in tests) whose standard input and output are the stream."""

    def __init__(self, argv: list[str]) -> None:
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115  open as long as the program is
        self._process = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._errors)
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
        self._errors.seek(0)
        return _last_line(self._errors.read())


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
        return _last_line(said)


def _last_line(said: bytes) -> str:
    lines = said.decode(errors="replace").strip().splitlines()
    return lines[-1] if lines else ""
