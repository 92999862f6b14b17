"""Puts the pinned releases of a host's services on it, ready to start; nothing serves them before they are proven."""

from __future__ import annotations

from pyinfra import host

from deploys.components.release.files import base_of
from deploys.operations import releases
from mainstay import context
from mainstay.inventory import Environment, Host

# What a release of this kind needs on the host; `go` and `static` bring all that they need.
PACKAGES = {"python": ["python3", "python3-venv"], "node": ["nodejs"]}


def needs(environment: Environment, member: Host) -> list[str]:
    """The packages that it installs on the host."""
    kinds = {s.kind for s in environment.services_on(member) if s.name in environment.releases}
    return [name for kind in sorted(kinds) for name in PACKAGES.get(kind, [])]


def apply() -> None:
    """Every service of the host that has a release pinned."""
    environment, member = context.current()
    mine = environment.services_on(member)
    # Over all services, with their positions: pyinfra would merge one host's first service with another's.
    for service in host.loop(list(environment.services.values())):
        pin = environment.releases.get(service.name)
        if pin is None or service not in mine:
            continue
        releases.installed(
            base=base_of(environment, service),
            pinned=releases.Pinned(
                service.name, pin.version, environment.root / "artefacts" / pin.artefact.file, pin.artefact.sha256
            ),
            keep=service.keep_releases,
            name=f"Release {service.name} {pin.version}",
        )
