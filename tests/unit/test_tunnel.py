"""A tunnel is ready when it takes connections, not when its socket is there."""

from __future__ import annotations

import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from mainstay import tunnel
from mainstay.errors import HostError
from mainstay.tunnel import Tunnels, await_listener


@pytest.fixture
def waiting() -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(["sleep", "60"], stderr=subprocess.PIPE, text=True)
    yield process
    process.kill()
    process.communicate()


def test_a_socket_that_nobody_listens_at_yet_is_waited_for(waiting: subprocess.Popen[str], tmp_path: Path) -> None:
    door = tmp_path / "door"
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(door))
        listens = threading.Timer(0.3, server.listen)
        before = time.monotonic()
        listens.start()
        await_listener(waiting, door, "db-1")
        assert time.monotonic() - before >= 0.3


def test_a_tunnel_that_ends_says_why(tmp_path: Path) -> None:
    ended = subprocess.Popen(["sh", "-c", "echo no route >&2; exit 255"], stderr=subprocess.PIPE, text=True)
    with pytest.raises(HostError, match="db-1: no tunnel: no route"):
        await_listener(ended, tmp_path / "door", "db-1")
    assert ended.stderr
    ended.stderr.close()


def test_one_tunnel_each_way_until_they_are_closed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    opened: list[tuple[str, int]] = []

    @contextmanager
    def forwarded(environment: object, via: SimpleNamespace, address: str, port: int) -> Iterator[Path]:
        opened.append((via.name, port))
        yield tmp_path / str(len(opened))
        opened.remove((via.name, port))

    monkeypatch.setattr(tunnel, "forwarded", forwarded)
    tunnels: Any = Tunnels(None)  # type: ignore[arg-type]
    app, db = SimpleNamespace(name="app-1"), SimpleNamespace(name="db-1")
    first = tunnels.to(app, "192.0.2.1", 5432)
    assert tunnels.to(app, "192.0.2.1", 5432) == first
    assert len({tunnels.to(db, "192.0.2.1", 5432), tunnels.to(app, "192.0.2.1", 6432), first}) == 3
    assert len(opened) == 3
    tunnels.close()
    assert opened == []
