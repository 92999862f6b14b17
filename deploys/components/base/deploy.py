"""The ground that every host stands on, in the order that first contact needs."""

from __future__ import annotations

from deploys.components.base import files as base
from deploys.components.base.model import section
from deploys.operations import files, operators, timezone, units
from mainstay import context
from mainstay.inventory import Environment, Host

PACKAGES = ["ca-certificates", "chrony", "curl", "nftables", "sudo", "unattended-upgrades"]
UPGRADE_UNITS = ["unattended-upgrades.service", "apt-daily.timer", "apt-daily-upgrade.timer"]


def needs(environment: Environment, member: Host) -> list[str]:
    """The packages that it installs on the host."""
    return PACKAGES


def apply() -> None:
    """Declares accounts, access, firewall, logs, clock and upgrades of pyinfra's current host."""
    environment, member = context.current()
    # The connection may be the bootstrap user's: operators have accounts, keys and sudo before sshd asks for the group.
    operators.present(list(environment.operators), base.GROUP, name="Accounts of operators")
    files.installed(base.access(environment, member), name="Keys, sudo and sshd")
    files.installed(base.firewall(environment, member), name="Firewall")
    files.installed(base.logs(environment), name="Limits of the journal")
    files.installed(base.clock(environment), name="Sources of time")
    timezone.utc(name="Time zone UTC")
    files.installed(base.upgrades(environment), name="Security upgrades")
    wanted = ["chrony.service", "nftables.service"]
    if section(environment).upgrades.enabled:
        wanted += UPGRADE_UNITS
    units.running(wanted, name="Time, firewall and upgrades run")
