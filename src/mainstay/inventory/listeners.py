"""Who listens on which port of a host: the firewall opens what is listed here, and nothing twice."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from mainstay import project

if TYPE_CHECKING:
    from mainstay.inventory.environment import Environment, Host


@dataclass(frozen=True)
class Listener:
    """One TCP port.

    Attributes:
        port: the port.
        what: who listens, as messages and firewall comments name it.
        scope: `loopback` (never opened), `private` (opened to `from_roles`) or `public` (opened to all).
        from_roles: the roles whose hosts may connect, for `private`.
        key: the inventory's key that sets the port.
    """

    port: int
    what: str
    scope: Literal["loopback", "private", "public"]
    from_roles: tuple[str, ...] = ()
    key: tuple[str | int, ...] = ()


def listeners_on(env: Environment, host: Host) -> list[Listener]:
    """The host's listeners: sshd, both slots of its services at their largest count, and the components' own.

    A component's `model.py` names its own by a function `listeners(env, host) -> list[Listener]`.
    """
    found = [Listener(host.ssh_port, "sshd", "public", key=("hosts", host.name, "ssh_port"))]
    for service in env.services_on(host):
        key = ("services", service.name, "slots")
        for slot in ("blue", "green"):
            ports = service.ports_of(slot, service.instances.max)
            found += [Listener(port, f"{service.name} ({slot})", "loopback", key=(*key, slot)) for port in ports]
    for stem in env.sections:
        own = getattr(project.component_model(stem), "listeners", None)
        if own is not None:
            found += own(env, host)
    return found
