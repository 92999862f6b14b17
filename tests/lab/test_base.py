"""base on real hosts: from bare to converged by one apply, every check seen to fail, operators come and go."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from mainstay.errors import HostError
from tests.lab.ground import APP, CACHE, HOSTS, WEB, Ground

pytestmark = pytest.mark.xdist_group("ground")


@pytest.fixture(scope="module")
def hosts(ground: Ground) -> Ground:
    for name in HOSTS:
        ground.converged(name)
    return ground


@pytest.mark.covers("GP-10")
def test_one_apply_from_a_bare_host_converges_and_passes_every_check(hosts: Ground) -> None:
    assert hosts.failing("base", *HOSTS) == set()


@contextmanager
def broken(hosts: Ground, name: str, command: str) -> Iterator[None]:
    hosts.sh(name, command)
    try:
        yield
    finally:
        outcome = hosts.apply(name)
        assert outcome["ok"], outcome["reason"]


KEYS = "/etc/ssh/authorized_keys.d"
JOURNALD = "/etc/systemd/journald.conf.d/mainstay.conf"
RELOAD = "systemctl reload ssh && sleep 1"
# What is broken by hand, the check that must say so, and whether an apply brings it back.
BREAKS = {
    "a colleague in the group": ("usermod -aG operators games", "operators are the inventory s"),
    "a key added by hand": (f"echo ssh-ed25519 AAAA x >> {KEYS}/alex", "keys are exactly the inventory s"),
    "a key file of somebody": (f"cp {KEYS}/alex {KEYS}/eve", "keys are exactly the inventory s"),
    "sshd that lets root in": (
        f"sed -i 's/^PermitRootLogin.*/PermitRootLogin yes/' /etc/ssh/sshd_config.d/00-mainstay.conf && {RELOAD}",
        "sshd settings are in effect",
    ),
    "a firewall that is not loaded": (
        "systemctl disable --quiet --now nftables",
        "firewall is loaded and starts at boot",
    ),
    "a time zone": ("ln -sfn /usr/share/zoneinfo/Europe/Berlin /etc/localtime", "time zone is utc"),
    "journald with its defaults": (
        f"rm {JOURNALD} && systemctl restart systemd-journald",
        "journal keeps as much as the inventory says",
    ),
    "a longer retention": (
        f"sed -i 's/^MaxRet.*/MaxRetentionSec=1y/' {JOURNALD}",
        "journal keeps as much as the inventory says",
    ),
    "upgrades switched off": (
        "echo 'APT::Periodic::Unattended-Upgrade \"0\";' >> /etc/apt/apt.conf.d/52mainstay-upgrades",
        "security upgrades come by themselves",
    ),
    "a timer that does not run": (
        "systemctl disable --quiet --now apt-daily-upgrade.timer",
        "security upgrades come by themselves",
    ),
    "a clock that nobody watches": ("systemctl stop chrony", "clock is right"),
}


@pytest.mark.parametrize("what", BREAKS)
def test_a_break_is_seen_by_its_check_and_brought_back(hosts: Ground, what: str) -> None:
    command, check = BREAKS[what]
    with broken(hosts, APP, command):
        assert check in hosts.failing("base", APP)
    assert check not in hosts.failing("base", APP)
    assert not hosts.plan(APP)["changes"]


def test_sudo_that_is_gone_is_seen(hosts: Ground) -> None:
    """For the other operator, so that the one who works can still look."""
    hosts.edit("system.yaml", "services:", "  kim:\n    keys: [ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAA kim]\nservices:")
    hosts.converged(APP)
    with broken(hosts, APP, "echo 'kim ALL=(ALL:ALL) !ALL' > /etc/sudoers.d/zz-test"):
        assert hosts.failing("base", APP) == {"operators have sudo without a password"}
        hosts.sh(APP, "rm /etc/sudoers.d/zz-test")
    hosts.edit("system.yaml", "  kim:\n    keys: [ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAA kim]\n", "")
    hosts.converged(APP)
    assert "kim" not in hosts.sh(APP, f"getent group operators; ls {KEYS}")
    assert hosts.failing("base", APP) == set()


def test_an_image_user_that_gets_in_is_seen(hosts: Ground) -> None:
    """As a hand that meant well would do it: into the group, with the image's own key."""
    command = f"usermod -aG operators debian && cp {KEYS}/alex {KEYS}/debian"
    with broken(hosts, APP, command):
        assert "login is refused (the image's user)" in hosts.failing("base", APP)
    with pytest.raises(HostError, match="Permission denied"):
        hosts.as_user(APP, "debian")


def test_a_root_that_gets_in_is_seen(hosts: Ground) -> None:
    drop_in = "/etc/ssh/sshd_config.d/00-a-first.conf"
    group = f"cp {KEYS}/alex {KEYS}/root && usermod -aG operators root"
    with broken(hosts, APP, f"{group} && echo PermitRootLogin yes > {drop_in} && {RELOAD}"):
        assert "login is refused (root)" in hosts.failing("base", APP)
        hosts.sh(APP, f"rm {drop_in} && {RELOAD}")
    assert hosts.failing("base", APP) == set()


ACCEPT = "nft insert rule inet mainstay input"
PORTS = "ports are open to those who need them and closed to others"


@pytest.mark.parametrize("rule", [f"{ACCEPT} tcp dport 65000 accept", f"{ACCEPT} tcp dport 7002 accept",
                                  f"{ACCEPT} tcp dport 7002 drop", f"{ACCEPT} tcp dport 7003 accept"])  # fmt: skip
def test_a_port_too_open_or_too_closed_is_seen_from_another_host(hosts: Ground, rule: str) -> None:
    hosts.sh(CACHE, rule)
    try:
        assert PORTS in hosts.failing("base", CACHE)
    finally:
        hosts.sh(CACHE, "nft -f /etc/nftables.conf")
    assert hosts.failing("base", CACHE) == set()


def test_a_door_that_ipv6_leaves_open_is_seen(hosts: Ground) -> None:
    hosts.sh(CACHE, f"{ACCEPT} meta nfproto ipv6 tcp dport 7002 accept")
    try:
        assert hosts.failing("base", CACHE) == {"ports are closed over ipv6 too"}
    finally:
        hosts.sh(CACHE, "nft -f /etc/nftables.conf")


@pytest.mark.covers("DF-90")
def test_a_program_that_listens_for_all_is_seen_and_not_reached(hosts: Ground) -> None:
    """The runbook's program listens on 0.0.0.0; the firewall keeps it in, and the check names it."""
    hosts.sh(APP, "systemd-run --quiet --unit=stray python3 -m http.server 8000 && sleep 1")
    try:
        hosts.sh(APP, "timeout 2 bash -c '</dev/tcp/127.0.0.1/8000'")
        assert hosts.failing("base", APP) == {"nobody listens to the network but what the inventory names"}
        address = hosts.environment.hosts[APP].address
        with pytest.raises(HostError):
            hosts.sh(WEB, f"timeout 2 bash -c '</dev/tcp/{address}/8000'")
    finally:
        hosts.sh(APP, "systemctl stop stray")


def test_a_flushed_ruleset_is_drift_that_a_plan_shows(hosts: Ground) -> None:
    hosts.sh(APP, "nft flush ruleset")
    assert [op["name"] for op in hosts.plan(APP)["changes"]] == ["Firewall"]
    hosts.converged(APP)


def test_the_firewall_stands_after_a_reboot(hosts: Ground) -> None:
    hosts.outside("kill", WEB)
    hosts.outside("up", "ground")
    assert hosts.failing("base", WEB) == set()


@pytest.mark.covers("EV-14")
def test_a_clock_more_than_a_second_off_is_flagged(hosts: Ground) -> None:
    """The clock is the machine's own; chronyd alone is told another time, which for the check is the same."""
    hosts.sh(APP, "apt-get -qq install -y faketime >/dev/null 2>&1", timeout=120)
    preload = "Environment=LD_PRELOAD=/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1 FAKETIME=+5s"
    drop_in = "/run/systemd/system/chrony.service.d/faketime.conf"
    make = f"mkdir -p {drop_in.rpartition('/')[0]} && printf '[Service]\\n{preload}\\n' > {drop_in}"
    hosts.sh(APP, f"{make} && systemctl daemon-reload && systemctl restart chrony && sleep 12")
    try:
        assert hosts.failing("base", APP) == {"clock is right"}
    finally:
        hosts.sh(APP, f"rm {drop_in} && systemctl daemon-reload && systemctl restart chrony && sleep 8")
    assert hosts.failing("base", APP) == set()
