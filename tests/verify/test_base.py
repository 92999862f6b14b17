"""The ground of every host: who gets in, what the network reaches, and that clock, journal and upgrades work."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import pytest

from deploys.components.base import files
from deploys.components.base.model import Section, section
from facts.base import parse_tracking
from mainstay import ports, ssh
from mainstay.inventory import Environment, Host

NOBODY_LISTENS = (9, 111, 3306, 9200, 65000)


@pytest.fixture(scope="module")
def base(environment: Environment) -> Section:
    return section(environment)


# Who gets in.


def test_operators_are_the_inventory_s(host: Any, environment: Environment) -> None:
    found = host.check_output(f"getent group {files.GROUP}").split(":")[3].split(",")
    assert sorted(filter(None, found)) == sorted(environment.operators)


def test_keys_are_exactly_the_inventory_s(host: Any, environment: Environment) -> None:
    names = host.check_output(f"ls -A {files.KEYS_FOLDER}").split()
    assert sorted(names) == sorted(environment.operators)
    for name, operator in environment.operators.items():
        keys = host.check_output(f"cat {files.KEYS_FOLDER}/{name}").splitlines()
        assert keys == operator.keys, f"keys of {name} differ"


def test_operators_have_sudo_without_a_password(host: Any, environment: Environment) -> None:
    for name in environment.operators:
        became = host.run(f"runuser -u {shlex.quote(name)} -- sudo -n id -un").stdout.strip()
        assert became == "root", f"{name} may not use sudo"


def test_an_operator_logs_in_and_is_root_by_sudo(environment: Environment, member: Host) -> None:
    assert ssh.run_fresh(environment, member, "id -un", timeout=10).strip() == "root"


@pytest.mark.parametrize("who", ["root", "the image's user"])
def test_login_is_refused(environment: Environment, member: Host, who: str) -> None:
    user = environment.bootstrap_user if who != "root" else who
    argv = ssh.command_line(environment, member)
    argv[argv.index("-l") + 1] = user
    done = subprocess.run([*argv, "true"], check=False, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    assert done.returncode == 255, f"{user} can log in"
    assert "Permission denied" in done.stderr, done.stderr


def test_sshd_settings_are_in_effect(host: Any, base: Section, member: Host) -> None:
    wanted = {
        "port": str(member.ssh_port),
        "permitrootlogin": "no",
        "passwordauthentication": "no",
        "kbdinteractiveauthentication": "no",
        "authenticationmethods": "publickey",
        "authorizedkeysfile": f"{files.KEYS_FOLDER}/%u",
        "allowgroups": files.GROUP,
        "maxauthtries": str(base.sshd.max_auth_tries),
        "clientaliveinterval": str(int(base.sshd.client_alive)),
        "x11forwarding": "no",
        "allowagentforwarding": "no",
        "allowtcpforwarding": "local",
        "permituserenvironment": "no",
    }
    rows = [line.partition(" ") for line in host.check_output("sshd -T").splitlines()]
    found = {key: value for key, _, value in rows}
    assert {key: found.get(key) for key in wanted} == wanted


# What the network reaches.


def test_firewall_is_loaded_and_starts_at_boot(host: Any) -> None:
    assert host.service("nftables").is_enabled
    rules = json.loads(host.check_output("nft -j list chain inet mainstay input"))["nftables"]
    chain = next(row["chain"] for row in rules if "chain" in row)
    assert (chain["hook"], chain["policy"]) == ("input", "drop")


@dataclass(frozen=True)
class Seen:
    """What answers somebody else, port by port; over link-local IPv6 too, where both have it on the same link."""

    by: str
    wanted: set[int]
    found: set[int]
    over_ipv6: set[int] | None


@pytest.fixture(scope="module")
def seen(environment: Environment, host: Any, member: Host, reach: Callable[[str], Any]) -> list[Seen]:
    """The host's ports, tried from this laptop and from one peer of each set of roles, all at once.

    What is dropped is waited for, and a second peer of the same roles would ask the same rules again.
    """
    own = _link_local(host.check_output("ip -o address show"), member.address)
    alike: dict[tuple[str, ...], list[Host]] = {}
    for peer in environment.hosts.values():
        if peer.name != member.name:
            alike.setdefault(peer.roles, []).append(peer)

    def by_one_of(peers: list[Host]) -> Seen | None:
        for peer in peers:
            with suppress(RuntimeError):  # testinfra's word for ssh's own 255, so not let in
                return _seen_from(environment, member, own, peer, reach(peer.name))
        # In an environment's first rollout, hosts whose batch is still to come do not know the operator: they cannot be
        # asked yet, and each of them asks about this host in its own turn.
        return None

    with ThreadPoolExecutor() as pool:
        others = pool.map(by_one_of, alike.values())
        return [_seen_from_here(environment, member), *(one for one in others if one)]


def test_ports_are_open_to_those_who_need_them_and_closed_to_others(seen: list[Seen]) -> None:
    for one in seen:
        assert one.found == one.wanted, f"from {one.by}: {_difference(one.found, one.wanted)}"


def test_ports_are_closed_over_ipv6_too(seen: list[Seen], environment: Environment, member: Host) -> None:
    public = {port for port, sources in _ports(environment, member).items() if sources is None}
    for one in seen:
        if one.over_ipv6 is not None:
            assert one.over_ipv6 == public, f"from {one.by}: {_difference(one.over_ipv6, public)}"


def test_nobody_listens_to_the_network_but_what_the_inventory_names(
    host: Any, environment: Environment, member: Host
) -> None:
    known = {listener.port for listener in environment.listeners(member) if listener.scope != "loopback"}
    # systemd-resolved's LLMNR is for its own link, and the firewall drops it.
    lines = [line for line in host.check_output("ss -Hltnp").splitlines() if '"systemd-resolve"' not in line]
    rows = [line.split() for line in lines]
    addresses = [row[3].rpartition(":") for row in rows]
    strange = {f"{address}:{port}" for address, _, port in addresses if not _local(address) and int(port) not in known}
    assert not strange, f"listens for the network, and no component says so: {', '.join(sorted(strange))}"


def _seen_from_here(environment: Environment, member: Host) -> Seen:
    asked = _ports(environment, member)
    public = {port for port, sources in asked.items() if sources is None}
    found = ports.ask(ports.Question(member.address, sorted(public), sorted(asked.keys() - public)))
    return Seen("this laptop", public, found, None)


def _seen_from(environment: Environment, member: Host, own: str | None, peer: Host, on_peer: Any) -> Seen:
    asked = _ports(environment, member)
    public = {port for port, sources in asked.items() if sources is None}
    wanted = {port for port, sources in asked.items() if _open_to(sources, peer)}
    questions = [ports.Question(member.address, sorted(wanted), sorted(asked.keys() - wanted))]
    route, *addresses = on_peer.check_output(f"ip -o route get {member.address}; ip -o address show").splitlines()
    if own and " via " not in route and _link_local("\n".join(addresses), peer.address):
        device = route.partition(" dev ")[2].split()[0]
        questions.append(ports.Question(f"{own}%{device}", sorted(public), sorted(asked.keys() - public)))
    found, *over_ipv6 = ports.ask_from(on_peer, questions)
    return Seen(f"{peer.name} ({', '.join(peer.roles)})", wanted, found, over_ipv6[0] if over_ipv6 else None)


def _link_local(addresses: str, address: str) -> str | None:
    """The IPv6 link-local address of the interface that has `address`, in what `ip -o address show` prints."""
    rows = [line.split() for line in addresses.splitlines()]
    device = next((row[1] for row in rows if row[3].startswith(f"{address}/")), "")
    return next((row[3].partition("/")[0] for row in rows if row[1] == device and row[3].startswith("fe80:")), None)


def _ports(environment: Environment, member: Host) -> dict[int, tuple[str, ...] | None]:
    """Every port to try, and the roles it is open to: None for all, () for nobody."""
    found: dict[int, tuple[str, ...] | None] = dict.fromkeys(NOBODY_LISTENS, ())
    for listener in environment.listeners(member):
        private = listener.from_roles if listener.scope == "private" else ()
        found[listener.port] = None if listener.scope == "public" else private
    allowed = section(environment).sshd.allow_from
    if allowed and not environment.lab:
        found.pop(member.ssh_port)  # by network, not by role: what is not the operators' may be either
    return found


def _open_to(sources: tuple[str, ...] | None, peer: Host) -> bool:
    return sources is None or bool(set(sources) & set(peer.roles))


def _difference(found: set[int], wanted: set[int]) -> str:
    parts = [("open and should be closed", found - wanted), ("closed and should be open", wanted - found)]
    return "; ".join(f"{', '.join(map(str, sorted(ports)))} {what}" for what, ports in parts if ports)


def _local(address: str) -> bool:
    return address.partition("%")[0].startswith(("127.", "[::1]"))


# Journal, upgrades, clock.


def test_time_zone_is_utc(host: Any) -> None:
    assert host.check_output("date +%Z") == "UTC"


def test_journal_keeps_as_much_as_the_inventory_says(host: Any, base: Section) -> None:
    """What journald says about itself when it starts, and that it started after its settings were written."""
    question = "journalctl -o json -n 1 --no-pager MESSAGE_ID=ec387f577b844b8fa948f33cad9a75e6 _TRANSPORT=driver"
    said = json.loads(host.check_output(f"{question} JOURNAL_NAME='System Journal'"))
    assert int(said["MAX_USE"]) == base.journald.max_use, f"keeps at most {said['MAX_USE_PRETTY']}"
    assert said["JOURNAL_PATH"].startswith("/var/log/journal/"), "the journal is lost at the next reboot"
    written = host.file("/etc/systemd/journald.conf.d/mainstay.conf").mtime.timestamp()
    assert int(said["__REALTIME_TIMESTAMP"]) / 1e6 >= written - 1, "journald runs with settings from before"
    rows = host.check_output("systemd-analyze cat-config systemd/journald.conf").splitlines()
    kept = [row.partition("=")[2] for row in rows if row.startswith("MaxRetentionSec=")]
    assert kept[-1:] == [str(int(base.journald.max_retention))], f"MaxRetentionSec is {kept}"


def test_security_upgrades_come_by_themselves(host: Any, base: Section) -> None:
    wanted = "1" if base.upgrades.enabled else "0"
    rows = re.findall(r'^(\S+) "(.*)";$', host.check_output("apt-config dump"), re.MULTILINE)
    found = dict(rows)
    assert found["APT::Periodic::Update-Package-Lists"] == found["APT::Periodic::Unattended-Upgrade"] == wanted
    origins = [value for key, value in rows if key == "Unattended-Upgrade::Origins-Pattern::"]
    assert origins and all("label=Debian-Security" in origin for origin in origins), origins
    assert found["Unattended-Upgrade::Automatic-Reboot"] == str(base.upgrades.reboot).lower()
    assert host.package("unattended-upgrades").is_installed
    if base.upgrades.enabled:
        for timer in ("apt-daily.timer", "apt-daily-upgrade.timer"):
            assert host.service(timer).is_running and host.service(timer).is_enabled, f"{timer} does not run"


@pytest.mark.covers("EV-14")
def test_clock_is_right(host: Any, base: Section) -> None:
    """chronyd knows the time some seconds after it was started: it is waited for, so this is the last check."""
    host.run("systemctl is-active --quiet chrony && chronyc waitsync 75 0 0 0.2")
    found = parse_tracking(host.run("chronyc -c tracking").stdout.splitlines())
    assert found is not None, "chronyd does not answer"
    assert found.synchronised, f"leap status is {found.leap_status!r}, not 'Normal'"
    limit = base.chrony.max_offset_s
    assert abs(found.offset_s) <= limit, f"{found.offset_s:+.3f} s off its source, {limit} s are allowed"
