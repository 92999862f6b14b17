"""Brings the services of a host to their pinned releases."""

from __future__ import annotations

from pyinfra import host

from deploys.components.service.files import deployment, running_on
from deploys.operations import service_user, slots
from mainstay import context
from mainstay.inventory import Environment, Host


def needs(environment: Environment, member: Host) -> list[str]:
    """The packages that it installs on the host."""
    return ["procps", "python3"] if running_on(environment, member) else []


def apply() -> None:
    """Each service with processes: its user, then the release over the other slot where anything differs."""
    environment, member = context.current()
    mine = running_on(environment, member)
    # Over all services, with their positions: pyinfra would merge one host's first service with another's.
    for service in host.loop(list(environment.services.values())):
        if service not in mine:
            continue
        wanted = deployment(environment, member, service, host.get_fact)
        service_user.present(wanted.user, name=f"User {wanted.user}")
        slots.deployed(wanted, name=f"{service.name} {wanted.version}")
