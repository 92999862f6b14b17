"""The connector `@mainstay/HOST` under plain pyinfra. The host is this machine; its root is who runs this."""

from __future__ import annotations

import os
import socket
import stat
import tempfile
from collections.abc import Iterator
from io import BytesIO, StringIO
from pathlib import Path
from typing import Any

import paramiko
import pytest
from pyinfra.api import Config, Inventory, State, StringCommand
from pyinfra.api.exceptions import ConnectError
from pyinfra.connectors.ssh import SSHConnector

from mainstay.transport import shell as shell_of
from mainstay.transport.asking import asking
from mainstay.transport.connector import MainstayConnector
from mainstay.transport.knowledge import Knowledge
from mainstay.transport.link import Link
from mainstay.transport.route import Route
from mainstay.transport.shell import Shell
from mainstay.transport.streams import Program

SUDO = """#!/bin/sh
while [ "$1" != sh ]; do
    if [ "$1" = -u ]; then user=$2; fi
    shift
done
exec setpriv --reuid="$user" --regid="$(id -g "$user")" --clear-groups "$@"
"""


def unconnected(**data: Any) -> MainstayConnector:
    state = State(Inventory(([("@mainstay/127.0.0.1", data)], {})), Config())
    host = state.inventory.get_host("127.0.0.1")
    assert isinstance(host.connector, MainstayConnector)
    return host.connector


@pytest.fixture
def connector() -> Iterator[MainstayConnector]:
    """Both its runners run here; it has a link, which connects to nothing."""
    one = unconnected()
    one.link = Link(Route("127.0.0.1"))
    shells = [Shell(lambda text: Program(["sh", "-c", text]), sudo="") for _ in range(2)]
    one.shell, one.login = shells
    one.knowledge = Knowledge(one.shell)
    yield one
    for shell in shells:
        shell.close()


@pytest.fixture
def folder(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """One that everybody may write, with a sudo that only root may use."""
    with tempfile.TemporaryDirectory() as name:
        path = Path(name)
        (path / "bin").mkdir()
        (path / "bin" / "sudo").write_text(SUDO)
        for one, mode in ((path, 0o1777), (path / "bin", 0o755), (path / "bin" / "sudo", 0o755)):
            one.chmod(mode)
        monkeypatch.setenv("PATH", f"{path}/bin:{os.environ['PATH']}")
        yield path


def state_of(path: Path) -> tuple[str, int, int]:
    found = path.stat()
    return path.read_text(), stat.S_IMODE(found.st_mode), found.st_uid


@pytest.mark.skipif(os.geteuid() != 0, reason="only root becomes another user")
def test_a_file_is_put_and_got_as_the_user_that_the_operation_names(folder: Path, connector: MainstayConnector) -> None:
    as_nobody = {"_sudo": True, "_sudo_user": "nobody", "_timeout": 30}
    assert connector.put_file(StringIO("text"), f"{folder}/x", **as_nobody)
    assert state_of(folder / "x") == ("text", 0o600, 65534)
    (folder / "mine").write_text("root's own")
    (folder / "mine").chmod(0o600)
    assert connector.get_file(f"{folder}/x", found := BytesIO(), **as_nobody) and found.getvalue() == b"text"
    assert not connector.get_file(f"{folder}/mine", BytesIO(), **as_nobody)


def test_a_file_is_put_where_the_operation_is(folder: Path, connector: MainstayConnector) -> None:
    assert connector.put_file(StringIO("text"), "x", _sudo=True, _chdir=str(folder))
    assert (folder / "x").read_text() == "text"
    assert not connector.put_file(StringIO("text"), "y", _sudo=True, _chdir=f"{folder}/none")
    assert not Path("y").exists()


def test_a_file_that_is_longer_than_an_answer_may_be_is_not_cut_off(
    folder: Path, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[str] = []
    monkeypatch.setattr("mainstay.transport.connector.echo", lambda text, **_: told.append(text))
    monkeypatch.setattr(shell_of, "LONGEST", 1 << 20)
    connector = request.getfixturevalue("connector")
    (folder / "long").write_bytes(b"x" * 3_000_000)
    (folder / "short").write_bytes(b"x" * 900_000)
    assert not connector.get_file(f"{folder}/long", BytesIO(), _sudo=True)
    assert told[0].endswith(f"{folder}/long: more than 1 MB, expected less")
    assert connector.get_file(f"{folder}/short", found := BytesIO(), _sudo=True) and len(found.getvalue()) == 900_000


def test_a_file_without_sudo_is_its_owner_s_alone_too(
    folder: Path, connector: MainstayConnector, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By SFTP it had the mode that the login's umask leaves, and was in place before it was whole."""
    monkeypatch.setattr(MainstayConnector, "by_paramiko", lambda _: pytest.fail("a connection by paramiko"))
    monkeypatch.setattr(connector, "shell", None)
    assert connector.put_file(StringIO("text"), f"{folder}/x")
    assert state_of(folder / "x") == ("text", 0o600, os.geteuid())


def test_what_rsync_brings_is_seen(folder: Path, connector: MainstayConnector, monkeypatch: pytest.MonkeyPatch) -> None:
    look = StringCommand(f"cat {folder}/x || echo none")

    def asked() -> list[str]:
        with asking():
            return connector.run_shell_command(look, _sudo=True)[1].stdout_lines

    def brings(*_: Any, **__: Any) -> bool:
        assert asked() == ["none"], "what stood before is asked anew, too"
        (folder / "x").write_text("brought")
        return True

    assert asked() == ["none"]
    monkeypatch.setattr(SSHConnector, "rsync", brings)
    assert connector.rsync("src", "dest", ["-a"], print_output=False)
    assert asked() == ["brought"]


def test_a_question_with_surroundings_is_not_remembered(connector: MainstayConnector) -> None:
    with asking():
        for env in ({}, {"TOKEN": "hunter2"}):
            assert connector.run_shell_command(StringCommand('echo "$TOKEN"'), _sudo=True, _env=env)[0]
    assert connector.knowledge is not None
    (kept,) = connector.knowledge.asked
    assert "hunter2" not in kept.command and connector.knowledge.counts.questions == 2


@pytest.mark.parametrize("own", [None, {"banner_timeout": 5}])
def test_paramiko_s_connection_waits_for_no_more_bytes_and_notices_that_its_host_has_gone(
    own: dict[str, Any] | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of an inventory of one's own too, which says nothing of it or something else."""
    found: list[int] = []

    def start(transport: paramiko.Transport, *_: Any, **__: Any) -> None:
        kinds = (socket.IPPROTO_TCP, socket.TCP_NODELAY), (socket.SOL_SOCKET, socket.SO_KEEPALIVE)
        found.extend(transport.sock.getsockopt(*kind) for kind in kinds)
        raise paramiko.SSHException("that was enough")

    monkeypatch.setattr(paramiko.Transport, "start_client", start)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        data = {"ssh_port": port, "ssh_allow_agent": False, "ssh_look_for_keys": False}
        one = unconnected(**data, **({"ssh_paramiko_connect_kwargs": own} if own else {}))
        with pytest.raises(ConnectError, match="that was enough"):
            SSHConnector.connect(one)
    assert found == [1, 1]
