"""Brings the services of a host to their pinned releases."""

from __future__ import annotations

from pyinfra import host
from pyinfra.operations import server

from deploys.components.service.files import deployment, running_on
from deploys.operations import slots
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
        wanted = deployment(environment, member, service)
        server.user(  # noqa: S604  the user's login shell, nothing runs in one
            name=f"User {wanted.user}",
            user=wanted.user,
            system=True,
            shell="/usr/sbin/nologin",
            home="/nonexistent",
            create_home=False,
        )
        slots.deployed(wanted, name=f"{service.name} {wanted.version}")
