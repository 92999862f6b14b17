"""Sessions over an open connection: what is left of one that nobody keeps any more. Real ones are tests/lab's."""

from __future__ import annotations

import os
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from mainstay.transport import multiplex


@contextmanager
def kept(path: Path, answer: Callable[[socket.socket], None]) -> Iterator[None]:
    """Somebody who listens at `path`, and does `answer` with whoever calls."""
    with closing(socket.socket(socket.AF_UNIX)) as server:
        server.bind(str(path))
        server.listen()

        def serve() -> None:
            caller, _ = server.accept()
            with closing(caller):
                answer(caller)

        threading.Thread(target=serve, daemon=True).start()
        yield


@pytest.fixture
def path() -> Iterator[Path]:
    """A path short enough for a socket."""
    path = Path(f"/tmp/mux-{os.getpid()}")
    yield path
    path.unlink(missing_ok=True)


def hello(caller: socket.socket) -> None:
    caller.sendall(struct.pack(">3I", 8, 1, 4))


def test_a_socket_that_is_left_over_is_nobodys_and_is_removed(path: Path) -> None:
    with closing(socket.socket(socket.AF_UNIX)) as server:
        server.bind(str(path))
    assert path.exists()
    with pytest.raises(OSError, match="nobody keeps the connection"):
        multiplex.Session(path, "true")
    multiplex.stop(path)
    assert not path.exists()
    multiplex.stop(path)
    multiplex.end(path)


def test_a_socket_that_is_left_over_is_ended_at_once(path: Path) -> None:
    """A machine that was switched off may have left hundreds of them."""
    with closing(socket.socket(socket.AF_UNIX)) as server:
        server.bind(str(path))
    started = time.monotonic()
    multiplex.end(path)
    assert not path.exists()
    assert time.monotonic() - started < 0.5


def test_one_who_never_speaks_costs_seconds(path: Path) -> None:
    started = time.monotonic()
    with kept(path, lambda _: time.sleep(10)), pytest.raises(OSError, match="nobody keeps the connection"):
        multiplex.Session(path, "true")
    assert 1 < time.monotonic() - started < 4


@pytest.mark.parametrize("said", [b"", b"HTTP/1.1 400 no\r\n\r\n", struct.pack(">3I", 8, 1, 3)])
def test_whoever_is_no_openssh_is_not_talked_to(path: Path, said: bytes) -> None:
    with kept(path, lambda caller: caller.sendall(said)), pytest.raises(OSError, match="nobody keeps"):
        multiplex.Session(path, "true")


def test_a_host_that_opens_no_session_costs_no_more_than_it_is_given(path: Path) -> None:
    """The connection stands here, and its host has gone."""

    def answer(caller: socket.socket) -> None:
        hello(caller)
        time.sleep(10)

    started = time.monotonic()
    with kept(path, answer), pytest.raises(OSError, match="no session over the open connection within 1 s"):
        multiplex.Session(path, "true", seconds=1)
    assert time.monotonic() - started < 3


def test_a_session_that_is_refused_says_why(path: Path) -> None:
    why = b"Session open refused by peer"

    def answer(caller: socket.socket) -> None:
        hello(caller)
        caller.recv(1 << 16)
        caller.sendall(struct.pack(">4I", 12 + len(why), 0x80000003, 1, len(why)) + why)
        time.sleep(1)

    with kept(path, answer), pytest.raises(OSError, match=r"^Session open refused by peer$"):
        multiplex.Session(path, "true")
