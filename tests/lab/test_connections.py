"""Connections to real hosts: kept open between commands, replaced when they have gone, made through other hosts."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from mainstay.lab.lab import Lab
from mainstay.transport import multiplex
from mainstay.transport.route import folder_of_operator, sockets
from tests.lab.tiny import PRODUCTION, Tiny

APP, OTHER, WEB = PRODUCTION
TARGET = "tiny/production"


class Hosts:
    """The small system's production, seen from outside: who logged in, and what is kept open."""

    def __init__(self, system: Tiny) -> None:
        self.system = system
        self.lab = Lab(system.lab)

    def plan(self, code: int = 0, prefix: list[str] | None = None) -> dict[str, Any]:
        """What a plan says of each host."""
        command = [*(prefix or []), sys.executable, "-m", "mainstay", "plan", TARGET, "--json"]
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=200, env=self.system.env(), cwd=self.system.project,
            check=False,
        )  # fmt: skip
        assert "Traceback" not in done.stderr
        assert done.returncode == code, done.stdout + done.stderr
        found: dict[str, Any] = json.loads(done.stdout)["hosts"]
        return found

    def inside(self, host: str, script: str) -> str:
        """What a script prints as root at the host's keyboard."""
        done = self.lab.inside(host, "bash", "-c", script)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def logins(self, host: str) -> int:
        """How often somebody has logged in over SSH, since the host's first boot."""
        return int(self.inside(host, "journalctl -t sshd -o cat | grep -c '^Accepted publickey' || true"))

    def kept(self, host: str) -> list[int]:
        """The processes here that keep a connection to the host open."""
        found = []
        for path in sockets(self.lab.paths.sockets, self.lab.address(host)):
            done = subprocess.run(
                ["pgrep", "-f", f"^ssh -N .*ControlPath={path} "], capture_output=True, text=True, check=False
            )
            found += [int(number) for number in done.stdout.split()]
        return found


@pytest.fixture
def hosts(tiny_system: Tiny) -> Hosts:
    return Hosts(tiny_system)


def test_commands_of_a_few_minutes_share_one_login_a_host(hosts: Hosts) -> None:
    hosts.plan()
    before = {host: hosts.logins(host) for host in PRODUCTION}
    hosts.plan()
    verified = hosts.system.run("verify", TARGET)
    assert "no connection" not in verified.text and "no answer" not in verified.text
    assert {host: hosts.logins(host) for host in PRODUCTION} == before
    for host in PRODUCTION:
        assert len(hosts.kept(host)) == 1


def test_a_host_that_lost_power_is_logged_in_to_anew_at_once(hosts: Hosts) -> None:
    hosts.plan()
    (old,) = hosts.kept(APP)
    hosts.system.outside("kill", APP)
    hosts.system.outside("up", "tiny")
    started = time.monotonic()
    assert hosts.plan()[APP]["ok"]
    assert time.monotonic() - started < 15
    assert old not in hosts.kept(APP)


def test_a_host_that_is_cut_off_is_named_with_what_was_waited_for(hosts: Hosts) -> None:
    """And heals: what was kept open does not come into the way."""
    hosts.plan()
    hosts.system.outside("cut", APP)
    started = time.monotonic()
    try:
        found = hosts.plan(code=1)
    finally:
        hosts.system.outside("heal", APP)
    assert time.monotonic() - started < 30
    assert "no SSH within 10 s" in found[APP]["reason"], found[APP]
    assert found[OTHER]["ok"] and found[WEB]["ok"]
    assert hosts.plan()[APP]["ok"]


def test_a_process_that_hangs_with_the_connection_is_left_alone(hosts: Hosts) -> None:
    hosts.plan()
    (hanging,) = hosts.kept(APP)
    os.kill(hanging, 19)
    try:
        assert hosts.plan()[APP]["ok"]
        assert hosts.plan()[APP]["ok"]
    finally:
        os.kill(hanging, 9)


def test_a_host_key_that_is_not_trusted_any_more_is_refused_whatever_is_open(hosts: Hosts) -> None:
    hosts.plan()
    known = hosts.lab.paths.known_hosts
    text = known.read_text()
    mine, other = hosts.lab.address(APP), hosts.lab.address(OTHER)
    keys = dict(line.split(" ", 1) for line in text.splitlines())
    try:
        known.write_text(text.replace(f"{mine} {keys[mine]}", f"{mine} {keys[other]}"))
        changed = hosts.plan(code=1)
        known.write_text(text.replace(f"{mine} {keys[mine]}\n", ""))
        unknown = hosts.plan(code=1)
    finally:
        known.write_text(text)
    assert f"found another host key than the one in {known}, expected that one" in changed[APP]["reason"]
    assert f"found no key of {mine} in {known}" in unknown[APP]["reason"]
    assert changed[OTHER]["ok"] and unknown[OTHER]["ok"]


@contextmanager
def mute(hosts: Hosts, host: str) -> Iterator[None]:
    """Takes connections at the host's port 22 and never says a word."""
    listener = "use IO::Socket::INET; $s = IO::Socket::INET->new(LocalPort => 22, Listen => 50, ReuseAddr => 1) or die;"
    listener += " while (1) { push @all, $s->accept }"
    hosts.inside(host, "systemctl stop ssh.socket ssh.service; pkill -x sshd; true")
    hosts.inside(host, f"systemd-run -q --unit=mute perl -e '{listener}'")
    try:
        yield
    finally:
        hosts.inside(host, "systemctl stop mute; systemctl start ssh")


def test_a_server_that_takes_the_connection_and_says_nothing_fails_its_host_alone(hosts: Hosts) -> None:
    with mute(hosts, APP):
        started = time.monotonic()
        found = hosts.plan(code=1)
        assert time.monotonic() - started < 30
    assert "no SSH within 10 s (Connection timed out during banner exchange)" in found[APP]["reason"]
    assert found[OTHER]["ok"] and found[WEB]["ok"]


def test_a_host_that_is_slow_to_let_us_in_is_waited_for(hosts: Hosts) -> None:
    hosts.inside(APP, "pkill -x sshd; systemctl restart ssh; sed -i '1i sleep 6' /home/debian/.bashrc")
    try:
        found = hosts.plan()
    finally:
        hosts.inside(APP, "sed -i '/^sleep 6$/d' /home/debian/.bashrc")
    assert all(found[host]["ok"] for host in PRODUCTION), found


@pytest.fixture
def agent(hosts: Hosts, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """An agent that has the lab's key; no file does."""
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
    done = subprocess.run(["ssh-agent", "-s"], capture_output=True, text=True, check=True)
    said = dict(part.split("=", 1) for part in done.stdout.replace("\n", "").split(";") if "=" in part)
    monkeypatch.setenv("SSH_AUTH_SOCK", said["SSH_AUTH_SOCK"])
    subprocess.run(["ssh-add", "-q", str(hosts.lab.paths.key)], check=True)
    yield
    os.kill(int(said["SSH_AGENT_PID"]), 15)


def jump_config(hosts: Hosts, folder: Path, more: str = "") -> Path:
    """An ssh_config in which the web host is jumped over, with nothing but an agent's key."""
    lab = hosts.lab
    path = folder / "config"
    path.write_text(
        f"Host jump\n  HostName {lab.address(WEB)}\n{more}"
        f"Host behind\n  HostName {lab.address(APP)}\n  ProxyJump jump\n"
        f"Host {lab.address(APP)} {lab.address(OTHER)}\n  ProxyJump jump\n"
        f"Host *\n  User debian\n  UserKnownHostsFile {lab.paths.known_hosts}\n"
    )
    return path


def came_from(hosts: Hosts, host: str, since: float) -> set[str]:
    """The addresses that logins came from."""
    time.sleep(1)
    text = hosts.inside(host, f"journalctl -t sshd -o cat --since @{int(since)} | grep '^Accepted publickey' || true")
    return {line.split(" from ")[1].split()[0] for line in text.splitlines()}


def test_plain_pyinfra_finds_alias_user_jump_and_agent_in_an_ssh_config(
    hosts: Hosts, agent: None, tmp_path: Path
) -> None:
    """And remembers what it asked: the second run asks ahead."""
    config = jump_config(hosts, tmp_path)
    (tmp_path / "hosts.py").write_text(
        f"hosts = [('@mainstay/behind', {{'_sudo': True, 'ssh_config_file': {str(config)!r}}})]\n"
    )
    (tmp_path / "deploy.py").write_text(
        "from pyinfra import host\nfrom pyinfra.facts.server import Command\nfrom pyinfra.operations import files\n"
        "assert host.get_fact(Command, 'id -un') == 'root'\n"
        "assert host.get_fact(Command, 'id -un', _sudo=False) == 'debian'\n"
        "files.directory(name='Folder', path='/run/connections')\n"
    )
    command = [sys.executable, "-m", "pyinfra", "-y", "hosts.py", "deploy.py"]
    since = time.time()
    time.sleep(1)
    for _ in range(2):
        done = subprocess.run(
            command, cwd=tmp_path, env=hosts.system.env(), capture_output=True, text=True, check=False, timeout=100
        )
        assert done.returncode == 0, done.stdout + done.stderr
    assert came_from(hosts, APP, since) == {hosts.lab.address(WEB)}
    assert hosts.inside(APP, "ls -d /run/connections").strip() == "/run/connections"
    remembered = list((hosts.system.laptop / "mainstay" / "questions").glob("*.json"))
    assert any("id -un" in path.read_text() for path in remembered)
    kept = sockets(folder_of_operator(), "behind")
    assert kept, "and keeps its connection open"
    for path in kept:
        multiplex.end(path)


def test_mainstays_commands_jump_where_the_operators_own_ssh_config_says(
    hosts: Hosts, agent: None, tmp_path: Path
) -> None:
    """Through a host that turns most of several logins at once away, as sshd does where too many are under way."""
    home = tmp_path / "ssh"
    home.mkdir(mode=0o700)
    jump_config(hosts, home)
    hosts.inside(WEB, "echo 'MaxStartups 1:100:1' > /etc/ssh/sshd_config.d/storm.conf; systemctl reload ssh")
    for host in (APP, OTHER):
        hosts.inside(host, "pkill -x sshd; systemctl restart ssh")
    since = time.time()
    time.sleep(1)
    # A mount of its own: the ~/.ssh of this machine is somebody's.
    seen = 'mkdir -p ~/.ssh && mount --bind "$0" ~/.ssh && exec "$@"'
    try:
        found = hosts.plan(prefix=["unshare", "--mount", "sh", "-c", seen, str(home)])
    finally:
        hosts.inside(WEB, "rm /etc/ssh/sshd_config.d/storm.conf; systemctl reload ssh")
    assert all(found[host]["ok"] for host in PRODUCTION), found
    assert {*came_from(hosts, APP, since), *came_from(hosts, OTHER, since)} == {hosts.lab.address(WEB)}


def test_the_lab_takes_its_connections_with_it(hosts: Hosts) -> None:
    hosts.plan()
    numbers = [number for host in PRODUCTION for number in hosts.kept(host)]
    assert len(numbers) >= len(PRODUCTION), "one a host, and those under another known_hosts or ssh_config before"
    hosts.system.outside("down")
    try:
        # A connection gives its socket away before its process ends.
        deadline = time.monotonic() + 5
        while (left := [n for n in numbers if Path(f"/proc/{n}").exists()]) and time.monotonic() < deadline:
            time.sleep(0.05)
        assert not left
        assert not sockets(folder_of_operator(), "198.18")
        assert not hosts.lab.paths.root.exists()
    finally:
        hosts.system.outside("up", "tiny")
        shutil.rmtree(hosts.system.laptop / "mainstay", ignore_errors=True)
