"""Where releases stand. They are no managed files: an artefact's checksum covers every byte of them."""

from __future__ import annotations

from mainstay.files import ManagedFile
from mainstay.inventory import Environment, Host, Service


def base_of(environment: Environment, service: Service) -> str:
    """The folder of the service's releases and links: /srv where nginx serves the files, /opt where they run."""
    top = "/srv" if service.kind == "static" else "/opt"
    return f"{top}/{environment.system}/{service.name}"


def files(environment: Environment, member: Host) -> list[ManagedFile]:
    """None."""
    return []
