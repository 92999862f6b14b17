"""pyinfra's commands and outputs as the transport sends and reads them."""

from __future__ import annotations

import os
import stat
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyinfra.api.command import StringCommand

from mainstay.transport.commands import command_of, goes_as_login, goes_through_shell, output_of, upload_command
from mainstay.transport.printed import IN_MEMORY, Printed
from mainstay.transport.route import of_data
from mainstay.transport.shell import Answer
from tests.unit.wires import wired

PIECES = st.lists(st.tuples(st.booleans(), st.binary(min_size=1, max_size=8) | st.just(b"\n") | st.just(b"a\nb")))


def answer(pieces: list[tuple[bool, bytes]]) -> Answer:
    printed = Printed()
    for is_error, piece in pieces:
        printed.add(is_error, piece)
    return Answer(0, printed)


@given(pieces=PIECES)
def test_lines_are_those_of_each_stream_wherever_pieces_end(pieces: list[tuple[bool, bytes]]) -> None:
    found = answer(pieces)
    output = output_of(found, "surrogateescape")
    for is_error, lines in ((False, output.stdout_lines), (True, output.stderr_lines)):
        text = b"".join(piece for error, piece in pieces if error == is_error)
        whole = text.removesuffix(b"\n").split(b"\n") if text else []
        assert [line.encode("utf-8", "surrogateescape") for line in lines] == whole
        assert (found.err if is_error else found.out) == text


def test_what_is_more_than_memory_takes_comes_back_in_order_and_more_than_once() -> None:
    pieces = [(number % 3 == 0, bytes([number % 256]) * 60_000) for number in range(40)]
    found = answer(pieces)
    assert sum(len(piece) for _, piece in pieces) > IN_MEMORY
    for _ in range(2):
        assert found.out == b"".join(piece for is_error, piece in pieces if not is_error)
        assert found.err == b"".join(piece for is_error, piece in pieces if is_error)


@pytest.mark.parametrize(
    ("arguments", "as_root", "as_login"),
    [
        ({"_sudo": True}, True, False),
        ({"_sudo": True, "_get_pty": True}, False, False),
        ({"_sudo": False}, False, True),
        ({}, False, True),
        ({"_get_pty": True}, False, False),
        ({"_su_user": "bob"}, False, False),
        ({"_doas": True}, False, False),
    ],
)
def test_who_runs_a_command(arguments: dict[str, Any], as_root: bool, as_login: bool) -> None:
    assert goes_through_shell(arguments) == as_root
    assert goes_as_login(arguments) == as_login


def test_a_command_of_the_user_who_logs_in_gets_no_sudo() -> None:
    command = command_of(StringCommand("id"), {"_sudo": False, "_sudo_user": "bob", "_shell_executable": "sh"})
    assert "sudo" not in command.get_raw_value()
    with_sudo = command_of(StringCommand("id"), {"_sudo": True, "_sudo_user": "bob", "_shell_executable": "sh"})
    assert with_sudo.get_raw_value().startswith("sudo ")


@pytest.fixture
def folder() -> Iterator[Path]:
    """One that everybody may write, as /tmp: uploads are made as another user too."""
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o1777)
        yield Path(name)


def upload(
    path: Path, data: bytes, size: int | None = None, user: int | None = None
) -> subprocess.CompletedProcess[bytes]:
    """Runs it as a user of this machine; `size`: how many bytes were announced."""
    command = ["sh", "-c", upload_command(str(path), len(data) if size is None else size)]
    if user is not None:
        command = ["setpriv", f"--reuid={user}", f"--regid={user}", "--clear-groups", *command]
    return subprocess.run(command, input=data, capture_output=True, check=False, cwd="/")


def state(path: Path) -> tuple[bytes, int, int]:
    found = path.stat()
    return path.read_bytes(), stat.S_IMODE(found.st_mode), found.st_uid


as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root becomes another user")
NOBODY = 65534


def test_a_new_file_is_its_writer_s_alone(folder: Path) -> None:
    assert upload(folder / "it's new", b"text").returncode == 0
    assert state(folder / "it's new") == (b"text", 0o600, os.geteuid())


@as_root
def test_a_file_keeps_its_owner_and_mode(folder: Path) -> None:
    target = folder / "kept"
    target.write_text("old")
    target.chmod(0o640)
    os.chown(target, NOBODY, NOBODY)
    assert upload(target, b"new").returncode == 0
    assert state(target) == (b"new", 0o640, NOBODY)
    assert list(folder.iterdir()) == [target]


def test_a_link_stays_one_and_what_it_leads_to_is_replaced(folder: Path) -> None:
    (folder / "real").write_text("old")
    (folder / "link").symlink_to("real")
    assert upload(folder / "link", b"new").returncode == 0
    assert (folder / "link").is_symlink() and (folder / "real").read_bytes() == b"new"


def test_what_is_cut_off_changes_nothing_and_leaves_nothing(folder: Path) -> None:
    (folder / "x").write_text("old")
    done = upload(folder / "x", b"half", size=8)
    assert (done.returncode, done.stderr) == (1, b"8 bytes were sent, not all arrived\n")
    assert (folder / "x").read_text() == "old" and list(folder.iterdir()) == [folder / "x"]


@pytest.mark.parametrize("limit", [0, 0.3])
def test_an_upload_whose_connection_breaks_leaves_nothing(folder: Path, limit: float) -> None:
    command = upload_command(str(folder / "x"), 1000)
    with wired() as (_, wire):
        wire.write(b"c 1 %g 0 %d 1000\n%sonly this" % (limit, len(command), command.encode()))
        deadline = time.monotonic() + 5
        while not list(folder.iterdir()) and time.monotonic() < deadline:
            time.sleep(0.05)
        time.sleep(limit)
        wire.close()
        wire.runner.wait(5)
    assert list(folder.iterdir()) == []


def test_what_a_killed_upload_left_goes_with_the_next_one(folder: Path) -> None:
    for name in (".x.mainstay-aB3xYz", ".xy.mainstay-aB3xYz", ".x.mainstay"):
        (folder / name).touch()
    assert upload(folder / "x", b"").returncode == 0
    assert {path.name for path in folder.iterdir()} == {"x", ".xy.mainstay-aB3xYz", ".x.mainstay"}


def test_a_folder_that_is_not_there_is_named(folder: Path) -> None:
    done = upload(folder / "no" / "x", b"text")
    assert (done.returncode, done.stderr.decode()) == (1, f"{folder}/no/x: its folder is not there\n")


def test_a_pipe_or_a_device_is_written_into() -> None:
    assert upload(Path("/dev/null"), b"text").returncode == 0
    assert stat.S_ISCHR(Path("/dev/null").stat().st_mode)


@as_root
def test_a_file_of_another_user_is_written_into_by_who_may(folder: Path) -> None:
    """As `cp` and SFTP do: its owner stays. Who may not is told."""
    target = folder / "shared"
    target.write_text("old")
    target.chmod(0o666)
    assert upload(target, b"new", user=NOBODY).returncode == 0
    assert state(target) == (b"new", 0o666, 0)
    folder.chmod(0o755)
    assert upload(target, b"newer", user=NOBODY).returncode == 0
    assert state(target) == (b"newer", 0o666, 0)
    target.chmod(0o644)
    done = upload(target, b"newest", user=NOBODY)
    assert done.returncode != 0 and b"ermission denied" in done.stderr
    assert upload(folder / "new", b"text", user=NOBODY).returncode != 0
    assert state(target)[0] == b"newer" and list(folder.iterdir()) == [target]


DATA = {
    "ssh_hostname": "web", "ssh_port": None, "ssh_user": None, "ssh_password": None, "ssh_key": None,
    "ssh_key_password": None, "ssh_allow_agent": True, "ssh_look_for_keys": True, "ssh_forward_agent": False,
    "ssh_config_file": None, "ssh_known_hosts_file": None, "ssh_strict_host_key_checking": None,
}  # fmt: skip


def test_pyinfras_data_says_what_ssh_config_does_not() -> None:
    route = of_data(DATA, "other")
    assert route is not None
    argv = route.argv("true")
    assert argv[-3:] == ["--", "web", "true"]
    assert not {"-l", "-p", "-i", "-F"} & set(argv), "all of it is ssh_config's"
    assert not any(word.startswith(("StrictHostKeyChecking", "UserKnownHostsFile", "Identity")) for word in argv)
    own = {"ssh_user": "alex", "ssh_port": 2222, "ssh_allow_agent": False, "ssh_strict_host_key_checking": "accept-new"}
    more = of_data(DATA | own | {"ssh_key": "/k", "ssh_config_file": "/c"}, "other")
    assert more is not None
    words = " ".join(more.argv("true"))
    for part in ("-F /c", "-i /k", "-l alex", "-p 2222", "IdentitiesOnly=yes", "IdentityAgent=none", "=accept-new"):
        assert part in words


@pytest.mark.parametrize("wants", ["ssh_password", "ssh_key_password", "ssh_forward_agent"])
def test_what_only_pyinfras_own_connector_does_goes_there(wants: str) -> None:
    assert of_data(DATA | {wants: "yes"}, "other") is None
