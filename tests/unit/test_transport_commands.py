"""pyinfra's commands and outputs as the transport sends and reads them."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyinfra.api.command import StringCommand

from mainstay.transport.commands import command_of, goes_as_login, goes_through_shell, output_of
from mainstay.transport.printed import IN_MEMORY, Printed
from mainstay.transport.route import of_data
from mainstay.transport.shell import Answer

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
