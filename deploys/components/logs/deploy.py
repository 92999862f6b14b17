"""Log files beside the journal, where the inventory names them."""

from __future__ import annotations

from pyinfra.api import deploy

from deploys.components.logs.files import UNITS, copied, log_files
from deploys.operations import logs, units
from deploys.operations.files import installed
from mainstay import context
from mainstay.inventory import Environment, Host


def needs(environment: Environment, member: Host) -> list[str]:
    """The packages that it installs on the host."""
    return ["logrotate", "rsyslog"] if log_files(environment, member) else []


def starts(environment: Environment, member: Host) -> list[str]:
    """The units that Debian starts with its packages."""
    return UNITS if log_files(environment, member) else []


@deploy("logs")
def apply() -> None:
    """Nothing where no service of the host has a file: the journal has every line anyway."""
    environment, member = context.current()
    found = log_files(environment, member)
    if not found:
        return
    logs.present(sorted(found.values()), name="Log files")
    installed(copied(environment, member), name="Copy logs to their files, and rotate them")
    units.running(UNITS, name="Logs are copied and rotated")
