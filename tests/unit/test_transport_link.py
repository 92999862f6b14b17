"""Routes and links, on this machine: a program called `ssh` stands where OpenSSH would, and runs the runner here."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from mainstay.transport.link import HANDSHAKES, SLOW_S, Link, Unreachable, unreachable
from mainstay.transport.route import Route, folder_of_operator, sockets

ROUTE = Route("192.0.2.1", "alex", 22, options=(("UserKnownHostsFile", "/etc/known"),))


@pytest.fixture
def kept(tmp_path: Path) -> Route:
    """A route whose connection may be kept, with the files that it depends on."""
    key, known = tmp_path / "key", tmp_path / "known"
    for path in (key, known):
        path.write_text("one\n")
    return replace(ROUTE, key=key, options=(("UserKnownHostsFile", str(known)),), folder=Path(f"/tmp/t{os.getpid()}"))


def test_a_connection_belongs_to_host_user_key_and_trust(kept: Route) -> None:
    assert kept.folder is not None and kept.key is not None
    first = kept.socket
    assert first is not None and first.parent == kept.folder
    assert replace(kept).socket == first
    others = [
        replace(kept, destination="192.0.2.2"),
        replace(kept, user="bob"),
        replace(kept, port=2222),
        replace(kept, key=Path("/other")),
        replace(kept, options=(("UserKnownHostsFile", "/other"),)),
        replace(kept, config=Path("/other")),
    ]
    assert len({first, *(other.socket for other in others)}) == len(others) + 1
    Path(kept.known_hosts).write_text("another key\n")
    assert replace(kept).socket != first, "what is trusted has changed"
    second = replace(kept).socket
    kept.key.write_text("a new key\n")
    assert replace(kept).socket != second, "who logs in has changed"
    kept.folder.rmdir()


def test_the_sockets_of_one_host_are_found_and_no_others(tmp_path: Path) -> None:
    for name in ("192.0.2.1-aa", "192.0.2.1-bb", "192.0.2.11-cc", "2001_db8__1-dd"):
        (tmp_path / name).touch()
    assert [path.name for path in sockets(tmp_path, "192.0.2.1")] == ["192.0.2.1-aa", "192.0.2.1-bb"]
    assert [path.name for path in sockets(tmp_path, "2001:db8::1")] == ["2001_db8__1-dd"]


def test_nothing_is_kept_where_others_may_look_or_the_path_is_too_long(kept: Route, tmp_path: Path) -> None:
    def of(folder: Path) -> Path | None:
        return replace(kept, folder=folder).socket

    base = Path(f"/tmp/u{os.getpid()}")
    base.mkdir(mode=0o700)
    try:
        assert of(base / "new") is not None
        (base / "new").chmod(0o750)
        assert of(base / "new") is None, "others may look in"
        (base / "link").symlink_to(base)
        assert of(base / "link") is None, "a link may lead anywhere"
        assert of(base / ("x" * 60)) is None, "OpenSSH needs 17 characters more than the name"
        assert of(base / "not" / "there") is None
        if os.geteuid() == 0:
            (base / "new").chmod(0o700)
            os.chown(base / "new", 12345, 0)
            assert of(base / "new") is None, "somebody else's"
    finally:
        for left in (base / "new", base / ("x" * 60)):
            if left.is_dir():
                left.rmdir()
        (base / "link").unlink(missing_ok=True)
        base.rmdir()
    without = replace(kept, folder=tmp_path / "no" / "such").argv("true")
    assert "ControlPath=none" in without


def test_the_folder_lasts_as_long_as_the_login_where_the_system_has_such_a_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    assert folder_of_operator() == tmp_path / "mainstay"
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path / "gone"))
    assert folder_of_operator().name == f"mainstay-{os.geteuid()}"


def test_the_operators_own_settings_do_not_get_in_the_way(kept: Route) -> None:
    argv = replace(kept, options=(("UserKnownHostsFile", "/a b/known"),)).argv("echo hello")
    assert argv[-3:] == ["--", "192.0.2.1", "echo hello"]
    for word in ("BatchMode=yes", "RemoteCommand=none", "ClearAllForwardings=yes", "RequestTTY=no"):
        assert word in argv
    assert 'UserKnownHostsFile="/a b/known"' in argv
    assert "ControlMaster=auto" in argv and "ControlPersist=300" in argv
    assert kept.folder is not None
    kept.folder.rmdir()


SAID = {
    "alex@192.0.2.1: Permission denied (publickey).": (
        r"no login (alex@192.0.2.1: Permission denied (publickey).), expected a key of yours to be let in",
        True,
        False,
    ),
    "jim@bastion: Permission denied (publickey).\nkex_exchange_identification: Connection closed by remote host": (
        "no login (jim@bastion: Permission denied (publickey).), expected a key of yours to be let in",
        False,
        False,
    ),
    "@@@@\n@ WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED! @\n@@@@\nHost key verification failed.": (
        "found another host key than the one in /etc/known, expected that one; ssh-keygen -R removes it",
        False,
        False,
    ),
    "No ED25519 host key is known for 192.0.2.1\nHost key verification failed.": (
        "found no key of 192.0.2.1 in /etc/known, expected the host's own there",
        False,
        False,
    ),
    "ssh: connect to host 192.0.2.1 port 22: Connection timed out": (
        "no SSH within 10 s (connect to host 192.0.2.1 port 22: Connection timed out)",
        False,
        False,
    ),
    "Connection timed out during banner exchange": (
        "no SSH within 10 s (Connection timed out during banner exchange)",
        False,
        False,
    ),
    "ssh: connect to host 192.0.2.1 port 22: Connection refused": (
        "no SSH (connect to host 192.0.2.1 port 22: Connection refused)",
        False,
        False,
    ),
    "kex_exchange_identification: read: Connection reset by peer\nConnection reset by 192.0.2.1 port 22": (
        "no SSH (it hung up at once, as sshd does with too many logins under way)",
        False,
        True,
    ),
    "channel 0: open failed: connect failed: No route to host\nstdio forwarding failed\n"
    "kex_exchange_identification: Connection closed by remote host": (
        "no SSH (channel 0: open failed: connect failed: No route to host)",
        False,
        False,
    ),
    "": ("no SSH (ssh said nothing)", False, False),
}


@pytest.mark.parametrize("said", SAID)
def test_what_ssh_says_becomes_one_sentence(said: str) -> None:
    error = unreachable(ROUTE, said)
    assert (str(error), error.refused, error.crowded) == SAID[said]


@pytest.fixture
def ssh(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What `ssh` does before it runs the command: a script that a test writes; it notes that it began."""
    program = tmp_path / "bin" / "ssh"
    program.parent.mkdir()
    program.write_text(
        f"#!/bin/sh\nfor command; do :; done\necho begin >> {tmp_path}/log\n. {tmp_path}/script\n"
        f'echo end >> {tmp_path}/log\nexec sh -c "$command"\n'
    )
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")
    return tmp_path / "script"


def at_once(log: Path) -> int:
    """The most that were under way at the same time."""
    now = most = 0
    for line in log.read_text().splitlines():
        now += 1 if line == "begin" else -1
        most = max(most, now)
    return most


def opened(_: int) -> bytes:
    link = Link(ROUTE)
    try:
        return link.shell(sudo="").ask("echo there").result(30).out
    finally:
        link.close()


def test_logins_under_way_are_few_and_all_get_their_turn(ssh: Path) -> None:
    ssh.write_text("sleep 0.3")
    with ThreadPoolExecutor(20) as pool:
        assert list(pool.map(opened, range(20))) == [b"there\n"] * 20
    assert 1 < at_once(ssh.parent / "log") <= HANDSHAKES


def test_hosts_that_do_not_answer_do_not_hold_up_the_rest(ssh: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As many as may be under way at the same time, and none of them says a word."""
    ssh.write_text('[ "$MUTE" = no ] || exec sleep 10')
    mute = [Link(ROUTE) for _ in range(HANDSHAKES)]
    threads = [threading.Thread(target=pytest.raises, args=(OSError, link.shell, ""), daemon=True) for link in mute]
    monkeypatch.setenv("MUTE", "yes")
    for thread in threads:
        thread.start()
    deadline = time.monotonic() + 5
    while not (log := ssh.parent / "log").exists() or log.read_text().count("begin") < HANDSHAKES:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    monkeypatch.setenv("MUTE", "no")
    started = time.monotonic()
    assert opened(0) == b"there\n"
    assert time.monotonic() - started < SLOW_S + 2


def test_a_host_with_too_many_logins_under_way_is_tried_again(ssh: Path) -> None:
    words = "kex_exchange_identification: Connection closed by remote host"
    ssh.write_text(f"[ $(grep -c begin {ssh.parent}/log) -ge 3 ] || {{ echo '{words}' >&2; exit 255; }}")
    assert opened(0) == b"there\n"
    assert (ssh.parent / "log").read_text().count("begin") == 3


def test_one_that_goes_on_so_says_so(ssh: Path) -> None:
    ssh.write_text("echo 'kex_exchange_identification: Connection closed by remote host' >&2; exit 255")
    with pytest.raises(Unreachable, match="too many logins under way"):
        opened(0)
    assert (ssh.parent / "log").read_text().count("begin") == 4


def test_what_the_host_itself_says_is_told_as_it_says_it(ssh: Path) -> None:
    """An exit code other than ssh's own is the command's."""
    ssh.write_text("echo 'sudo: a password is required' >&2; exit 1")
    with pytest.raises(OSError, match=r"^sudo: a password is required$") as caught:
        opened(0)
    assert not isinstance(caught.value, Unreachable)


def test_a_link_that_was_given_up_is_never_used_again(ssh: Path) -> None:
    """Whoever lost the lease of a host must not go on changing it over a connection made behind his back."""
    ssh.write_text("true")
    link = Link(ROUTE)
    shell = link.shell(sudo="")
    waiting = shell.ask("sleep 30")
    link.retire()
    with pytest.raises(OSError, match="the connection was closed"):
        waiting.result(5)
    assert not shell.alive
    for use in (lambda: link.shell(sudo=""), lambda: link.session("true")):
        with pytest.raises(OSError, match="the connection broke"):
            use()
    assert (ssh.parent / "log").read_text().count("begin") == 1


@pytest.fixture
def keeping(kept: Route) -> Iterator[Link]:
    """A link whose connection would be kept."""
    assert kept.folder is not None
    yield Link(kept)
    kept.folder.rmdir()


def test_the_ssh_of_a_kept_connection_runs_nothing_on_the_host_and_ends(ssh: Path, keeping: Link) -> None:
    """What stays is the process that keeps the connection; here there is none, and so no session over it."""
    ssh.write_text(f'echo "$@" > {ssh.parent}/words')
    with pytest.raises(OSError, match="nobody keeps the connection"):
        keeping.shell(sudo="")
    words = (ssh.parent / "words").read_text()
    assert words.startswith("-N ") and words.endswith(" -- 192.0.2.1 true\n") and "perl" not in words
    assert (ssh.parent / "log").read_text() == "begin\nend\n"


def test_a_connection_that_another_command_made_in_the_meantime_is_used(ssh: Path, keeping: Link) -> None:
    """This one's `ssh` has nothing to keep then, and would stay without end."""
    ssh.write_text(
        f"echo $$ > {ssh.parent}/pid\necho 'ControlSocket /x already exists, disabling multiplexing' >&2\nexec sleep 60"
    )
    started = time.monotonic()
    with pytest.raises(OSError, match="nobody keeps the connection"):
        keeping.shell(sudo="")
    assert time.monotonic() - started < SLOW_S
    with pytest.raises(ProcessLookupError):
        os.kill(int((ssh.parent / "pid").read_text()), 0)


def test_why_there_is_no_connection_to_keep_is_told(ssh: Path, keeping: Link) -> None:
    ssh.write_text("echo 'alex@192.0.2.1: Permission denied (publickey).' >&2; exit 255")
    with pytest.raises(Unreachable, match="to be let in") as caught:
        keeping.shell(sudo="")
    assert caught.value.refused


def test_a_login_that_does_not_end_is_given_up(ssh: Path, keeping: Link, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mainstay.transport.link.SLOW_S", 0.3)
    monkeypatch.setattr("mainstay.transport.link.STARTS_WITHIN_S", 0.5)
    ssh.write_text(f"echo $$ > {ssh.parent}/pid; exec sleep 60")
    with pytest.raises(OSError, match=r"^no login within 0.5 s$"):
        keeping.shell(sudo="")
    with pytest.raises(ProcessLookupError):
        os.kill(int((ssh.parent / "pid").read_text()), 0)
