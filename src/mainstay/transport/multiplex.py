"""Sessions over a connection that OpenSSH keeps open: the client's side of its multiplexing (PROTOCOL.mux, version 4).

`ssh` makes such a connection (ControlMaster, ControlPersist) and keeps it without us. To run a command over it, no
program is started here: starting `ssh` is most of what such a command costs on this side (docs/adr/0006).
"""

from __future__ import annotations

import array
import os
import socket
import struct
import tempfile
import time
from contextlib import closing, suppress
from pathlib import Path

from mainstay.transport.streams import last_line

# A host that does not open a session within this time is taken for gone: sshd does it without a new process.
OPENS_WITHIN_S = 5.0
# What the process that keeps the connection, here on this machine, may take for an answer of its own.
_ANSWERS_WITHIN_S = 2.0
_MOST = 1 << 18
_LONGEST = 1 << 20
_VERSION = 4
_HELLO, _NEW_SESSION, _TERMINATE, _STOP = 0x00000001, 0x10000002, 0x10000005, 0x10000009
_DENIED, _FAILURE, _OPENED = 0x80000002, 0x80000003, 0x80000006
_NO_ESCAPE = 0xFFFFFFFF


class Session:
    """A command on a host over the connection whose socket is `path`.

    Raises:
        OSError: nobody keeps a connection there, or the host opens no session within `seconds`.
    """

    def __init__(self, path: Path, command: str, seconds: float = OPENS_WITHIN_S) -> None:
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115  open as long as the session is
        self._control = _called(path)
        self._stream, theirs = socket.socketpair()
        try:
            with closing(theirs):
                body = struct.pack(">II", _NEW_SESSION, 1) + _text("")
                # No terminal, no X11, no agent, no subsystem.
                body += struct.pack(">5I", 0, 0, 0, 0, _NO_ESCAPE) + _text("") + _text(command)
                _send(self._control, body)
                for handle in (theirs.fileno(), theirs.fileno(), self._errors.fileno()):
                    rights = array.array("i", [handle])
                    self._control.sendmsg([b"\0"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, rights)])
            self._control.settimeout(seconds)
            kind, rest = _received(self._control)
        except (OSError, EOFError) as error:
            self.close()
            raise OSError(f"no session over the open connection within {seconds:g} s") from error
        if kind != _OPENED:
            self.close()
            raise OSError(_reason(kind, rest))

    def read(self) -> bytes:
        """What has come; empty at the end."""
        return self._stream.recv(_MOST)

    def write(self, data: bytes) -> None:
        """Sends all of it."""
        self._stream.sendall(data)

    def close(self) -> None:
        """Ends the session, not its connection; a `read` that waits returns."""
        for one in (self._stream, self._control):
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()

    def last_words(self) -> str:
        """The last line on its standard error."""
        self._errors.seek(0)
        return last_line(self._errors.read())


def stop(path: Path) -> None:
    """Has a connection take no more sessions: those that it has go on, and it ends with the last of them."""
    _told(path, _STOP)
    path.unlink(missing_ok=True)


def end(path: Path) -> None:
    """Ends a connection and all that runs over it."""
    deadline = time.monotonic() + _ANSWERS_WITHIN_S if _told(path, _TERMINATE) else 0.0
    while path.exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    path.unlink(missing_ok=True)


def _told(path: Path, what: int) -> bool:
    """Says it to the process that keeps the connection, and whether there is one; what does not answer is nobody's."""
    try:
        control = _called(path)
    except OSError:
        return False
    with suppress(OSError, EOFError), control:
        _send(control, struct.pack(">II", what, 1))
        _received(control)
    return True


def _called(path: Path) -> socket.socket:
    """The process that keeps the connection, after both have said hello.

    Raises:
        OSError: nobody answers there.
    """
    control = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        control.settimeout(_ANSWERS_WITHIN_S)
        control.connect(os.fspath(path))
        _send(control, struct.pack(">II", _HELLO, _VERSION))
        kind, rest = _received(control)
        if kind != _HELLO or struct.unpack_from(">I", rest) != (_VERSION,):
            raise OSError("found another version of OpenSSH's multiplexing, expected 4")
    except (OSError, EOFError, struct.error) as error:
        control.close()
        raise OSError(f"nobody keeps the connection {path.name}: {error or 'it hung up'}") from error
    return control


def _text(text: str) -> bytes:
    data = text.encode("utf-8", "surrogateescape")
    return struct.pack(">I", len(data)) + data


def _send(control: socket.socket, body: bytes) -> None:
    control.sendall(struct.pack(">I", len(body)) + body)


def _received(control: socket.socket) -> tuple[int, bytes]:
    """The next message: its kind, and what follows the kind."""
    (size,) = struct.unpack(">I", _exactly(control, 4))
    if not 4 <= size <= _LONGEST:
        raise OSError(f"found a message of {size} bytes")
    message = _exactly(control, size)
    return struct.unpack_from(">I", message)[0], message[4:]


def _exactly(control: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        piece = control.recv(size - len(data))
        if not piece:
            raise EOFError
        data += piece
    return data


def _reason(kind: int, rest: bytes) -> str:
    if kind in (_DENIED, _FAILURE):
        return rest[8:].decode(errors="replace").strip() or "the session was refused"
    return f"found a message of kind {kind:#x}, expected that the session is open"
