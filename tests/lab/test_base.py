"""base on real hosts: from bare to converged by one apply, every check seen to fail, operators come and go."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from mainstay.errors import HostError
from tests.lab.ground import APP, CACHE, HOSTS, WEB, Ground


@pytest.fixture(scope="module")
def hosts(ground: Ground) -> Ground:
    for number, name in enumerate(HOSTS, start=1):
        ground.converged(name)
        # Hosts of the lab have no IPv6 by themselves; the rules count for it all the same.
        ground.sh(name, f"ip address add fe80::{number}/64 dev eth0 nodad")
    return ground


@pytest.mark.covers("GP-10")
def test_one_apply_from_a_bare_host_converges_and_passes_every_check(hosts: Ground) -> None:
    assert hosts.failing("base", *HOSTS) == set()


@contextmanager
def again(hosts: Ground, name: str) -> Iterator[None]:
    """Afterwards one apply converges, whatever was done."""
    try:
        yield
    finally:
        hosts.converged(name)


KEYS = "/etc/ssh/authorized_keys.d"
JOURNALD = "/etc/systemd/journald.conf.d/mainstay.conf"
SSHD = "/etc/ssh/sshd_config.d"
UPGRADES = "/etc/apt/apt.conf.d/52mainstay-upgrades"
OPERATORS, EXACT_KEYS = "operators are the inventory s", "keys are exactly the inventory s"
EFFECTIVE, JOURNAL = "sshd settings are in effect", "journal keeps as much as the inventory says"
UPGRADED = "security upgrades come by themselves"
PORTS, IPV6 = "ports are open to those who need them and closed to others", "ports are closed over ipv6 too"
# What hands do to a host, and the checks that must say so. Each round breaks much at once: a check that saw nothing, or
# one that saw too much, shows as well.
ROUNDS = [
    {
        "usermod -aG operators games": {OPERATORS},
        f"echo ssh-ed25519 AAAA x >> {KEYS}/alex": {EXACT_KEYS},
        f"sed -i 's/^MaxAuthTries.*/MaxAuthTries 9/' {SSHD}/00-mainstay.conf": {EFFECTIVE},
        "systemctl disable --quiet --now nftables": {"firewall is loaded and starts at boot", PORTS, IPV6},
        "ln -sfn /usr/share/zoneinfo/Europe/Berlin /etc/localtime": {"time zone is utc"},
        f"rm {JOURNALD} && systemctl restart systemd-journald": {JOURNAL},
        f"echo 'APT::Periodic::Unattended-Upgrade \"0\";' >> {UPGRADES}": {UPGRADED},
        "systemctl stop chrony": {"clock is right"},
    },
    {
        # As a hand that meant well lets the image's user and root in.
        f"usermod -aG operators debian; cp {KEYS}/alex {KEYS}/debian": {
            "login is refused (the image's user)",
            OPERATORS,
            EXACT_KEYS,
        },
        f"usermod -aG operators root; cp {KEYS}/alex {KEYS}/root": {"login is refused (root)"},
        f"sed -i 's/^PermitRootLogin.*/PermitRootLogin yes/' {SSHD}/00-*; systemctl reload ssh": {EFFECTIVE},
        f"sed -i 's/^MaxRet.*/MaxRetentionSec=1y/' {JOURNALD}": {JOURNAL},
        "systemctl disable --quiet --now apt-daily-upgrade.timer": {UPGRADED},
    },
]


@pytest.mark.parametrize("number", range(len(ROUNDS)))
def test_every_break_is_seen_by_its_check_and_brought_back_by_one_apply(hosts: Ground, number: int) -> None:
    breaks = ROUNDS[number]
    with again(hosts, APP):
        hosts.sh(APP, "\n".join(["set -e", *breaks, "sleep 1"]))
        assert hosts.failing("base", APP) == set().union(*breaks.values())
    assert hosts.failing("base", APP) == set()
    with pytest.raises(HostError, match="Permission denied"):
        hosts.as_user(APP, "debian")


def test_an_operator_who_cannot_come_a_second_time_is_seen(hosts: Ground) -> None:
    """The verification's own connection stands, and PAM lets nobody in beside it."""
    hosts.sh(
        APP,
        r"""cp -p /etc/pam.d/sshd /root/sshd
        printf '#!/bin/sh\n! pgrep -u alex sshd\n' > /root/alone; chmod 700 /root/alone
        sed -i '1i account requisite pam_exec.so quiet /root/alone' /etc/pam.d/sshd""",
    )
    try:
        assert hosts.failing("base", APP) == {"an operator logs in and is root by sudo"}
    finally:
        hosts.inside(APP, "mv /root/sshd /etc/pam.d/sshd; rm /root/alone")


def test_an_operator_comes_loses_sudo_and_leaves(hosts: Ground) -> None:
    """Sudo is taken from the other operator, so that the one who works can still look."""
    key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA kim"
    with again(hosts, APP), hosts.edited("system.yaml", "services:", f"  kim:\n    keys: [{key}]\nservices:"):
        hosts.converged(APP)
        assert hosts.sh(APP, f"cat {KEYS}/kim").splitlines()[0] == key
        hosts.as_user(APP, "kim")  # in the lab every operator has the lab's key too
        hosts.sh(APP, "echo 'kim ALL=(ALL:ALL) !ALL' > /etc/sudoers.d/zz-test")
        try:
            assert hosts.failing("base", APP) == {"operators have sudo without a password"}
        finally:
            hosts.sh(APP, "rm /etc/sudoers.d/zz-test")
    assert "kim" not in hosts.sh(APP, f"getent group operators; ls {KEYS}")
    with pytest.raises(HostError, match="Permission denied"):
        hosts.as_user(APP, "kim")
    assert hosts.failing("base", APP) == set()


ACCEPT = "nft insert rule inet mainstay input"
RULES = {
    f"{ACCEPT} tcp dport 65000 accept": {PORTS, IPV6},
    f"{ACCEPT} meta nfproto ipv6 tcp dport 7003 accept": {IPV6},
    f"{ACCEPT} ip saddr != 127.0.0.1 tcp dport 7002 accept": {PORTS},
    f"{ACCEPT} tcp dport 7002 drop": {PORTS},
}


@pytest.mark.parametrize("rule", RULES)
def test_a_port_too_open_or_too_closed_is_seen_from_other_hosts(hosts: Ground, rule: str) -> None:
    hosts.sh(CACHE, rule)
    try:
        assert hosts.failing("base", CACHE) == RULES[rule]
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
    with again(hosts, APP):
        hosts.sh(APP, "nft flush ruleset")
        assert [op["name"] for op in hosts.plan(APP)["changes"]] == ["Firewall"]


def test_the_firewall_stands_after_a_reboot(hosts: Ground) -> None:
    hosts.outside("kill", WEB)
    hosts.outside("up", "ground")
    assert hosts.failing("base", WEB) == set()


# Ends dpkg in the middle of configuring a package, as a host does that loses its power.
CUT_SHORT = """
apt-get -qq -y purge chrony
printf '#!/bin/sh\\nexec pkill -9 -x dpkg\\n' > /usr/sbin/policy-rc.d
chmod 0755 /usr/sbin/policy-rc.d
apt-get -qq -y install chrony
rm /usr/sbin/policy-rc.d
apt-get -qq -y install chrony 2>&1
true
"""


def test_an_installation_that_was_cut_short_is_finished_by_the_next_apply(hosts: Ground) -> None:
    with again(hosts, APP):
        assert "dpkg was interrupted" in hosts.sh(APP, CUT_SHORT)
        hosts.fetch(APP)
        assert hosts.sh(APP, "ls /var/lib/dpkg/updates") != "", "what is fetched ahead finished an installation"
    assert hosts.sh(APP, "dpkg --audit") == ""
    assert hosts.failing("base", APP) == set()


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
