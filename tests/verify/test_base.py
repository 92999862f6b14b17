"""The ground of every host: who gets in, what the network reaches, and that clock, journal and upgrades work."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from deploys.components.base import files
from deploys.components.base.model import Section, section
from facts.base import parse_tracking
from mainstay import ssh
from mainstay.inventory import Environment, Host

# A closed port drops what comes: nobody answers. An open one answers at once, be it "refused".
WAIT_S = 2
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


def test_ports_are_open_to_those_who_need_them_and_closed_to_others(
    environment: Environment, member: Host, reach: Callable[[str], Any]
) -> None:
    ports = _ports(environment, member)
    public = {port for port, sources in ports.items() if sources is None}
    asked = {"this laptop": (_here, public)}
    for peer in _peers(environment, member, reach):
        wanted = {port for port, sources in ports.items() if _open_to(sources, peer)}
        asked[f"{peer.name} ({', '.join(peer.roles)})"] = (reach(peer.name).check_output, wanted)
    # Side by side: what is dropped is waited for.
    with ThreadPoolExecutor() as pool:
        answers = pool.map(lambda ask: _answers(ask, member.address, sorted(ports)), [ask for ask, _ in asked.values()])
    for (who, (_, wanted)), found in zip(asked.items(), answers, strict=True):
        assert found == wanted, f"from {who}: {_difference(found, wanted)}"


def test_ports_are_closed_over_ipv6_too(
    environment: Environment, host: Any, member: Host, reach: Callable[[str], Any]
) -> None:
    """Over link-local addresses, where host and peer share a link and have them."""
    own = _link_local(host, member.address)
    peers = _peers(environment, member, reach)
    if own is None or not peers:
        return
    peer = reach(peers[0].name)
    route = peer.check_output(f"ip -o route get {member.address}")
    if " via " in route or _link_local(peer, peers[0].address) is None:
        return
    device = route.partition(" dev ")[2].split()[0]
    ports = _ports(environment, member)
    public = {port for port, sources in ports.items() if sources is None}
    found = _answers(peer.check_output, f"{own}%{device}", sorted(ports))
    assert found == public, _difference(found, public)


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


def _link_local(host: Any, address: str) -> str | None:
    """The IPv6 link-local address of the interface that has `address`."""
    rows = [line.split() for line in host.check_output("ip -o address show").splitlines()]
    device = next((row[1] for row in rows if row[3].startswith(f"{address}/")), "")
    return next((row[3].partition("/")[0] for row in rows if row[1] == device and row[3].startswith("fe80:")), None)


def _peers(environment: Environment, member: Host, reach: Callable[[str], Any]) -> list[Host]:
    """One other host of each set of roles: more would ask the same rules again.

    In an environment's first rollout, hosts whose batch is still to come do not know the operator: they cannot be asked
    yet, and each of them asks about this host in its own turn.
    """
    chosen: dict[tuple[str, ...], Host] = {}
    for peer in environment.hosts.values():
        if peer.name != member.name and peer.roles not in chosen and _lets_in(reach(peer.name)):
            chosen[peer.roles] = peer
    return list(chosen.values())


def _lets_in(peer: Any) -> bool:
    try:
        return bool(peer.run("true").succeeded)
    except RuntimeError:  # what testinfra makes of ssh's own exit code 255
        return False


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


def _here(command: str) -> str:
    return subprocess.run(["sh", "-c", command], capture_output=True, text=True, check=True).stdout


def _answers(ask: Callable[[str], str], address: str, ports: list[int]) -> set[int]:
    """The ports that answer within WAIT_S, asked side by side; one that drops gives `timeout` its 124."""
    one = f'timeout {WAIT_S} bash -c "</dev/tcp/{address}/$p" 2>/dev/null; [ $? = 124 ] || echo $p'
    script = f"for p in {' '.join(map(str, ports))}; do ( {one} ) & done; wait"
    return {int(line) for line in ask(f"bash -c {shlex.quote(script)}").split()}


def _difference(found: set[int], wanted: set[int]) -> str:
    parts = [("open and should be closed", found - wanted), ("closed and should be open", wanted - found)]
    return "; ".join(f"{', '.join(map(str, sorted(ports)))} {what}" for what, ports in parts if ports)


def _local(address: str) -> bool:
    return address.partition("%")[0].startswith(("127.", "[::1]"))


# Clock, journal, upgrades.


@pytest.mark.covers("EV-14")
def test_clock_is_right(host: Any, base: Section) -> None:
    found = parse_tracking(host.run("chronyc -c tracking").stdout.splitlines())
    assert found is not None, "chronyd does not answer"
    assert found.synchronised, f"leap status is {found.leap_status!r}, not 'Normal'"
    limit = base.chrony.max_offset_s
    assert abs(found.offset_s) <= limit, f"{found.offset_s:+.3f} s off its source, {limit} s are allowed"


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
