"""How much of a host's memory everything on it may use together: its services' instances and its components."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from mainstay import project
from mainstay.errors import Problem
from mainstay.inventory.environment import Environment, Host
from mainstay.inventory.fields import format_size


@dataclass(frozen=True)
class MemoryShare:
    """What one service or one component may use of a host, as the product that it is.

    Attributes:
        what: the service, or the setting that gives the component its memory.
        count: how many times it may be in use at once.
        size: bytes of one.
    """

    what: str
    count: int
    size: int

    @property
    def total(self) -> int:
        """The product."""
        return self.count * self.size

    def __str__(self) -> str:
        size = format_size(self.size)
        return f"{self.what} {size}" if self.count == 1 else f"{self.count} {self.what} x {size}"


def shares_on(env: Environment, host: Host) -> list[MemoryShare]:
    """The host's shares: `memory_max` of every instance that there may be, and what components hold.

    A component's `model.py` names its own by a function `memory(env, host) -> list[MemoryShare]`: what it takes for
    sure, whatever else it is tuned to.
    """
    found = [
        MemoryShare(service.name, service.peak_instances, service.limits.memory_max)
        for service in env.services_on(host)
        if service.limits
    ]
    for stem in env.sections:
        own = getattr(project.component_model(stem), "memory", None)
        if own is not None:
            found += own(env, host)
    return found


def clashes(env: Environment) -> Iterator[Problem]:
    """Hosts on which more may be in use than they declare."""
    for host in env.hosts.values():
        shares = shares_on(env, host)
        total = sum(share.total for share in shares)
        if total > host.memory:
            found = f"{format_size(host.memory)}, less than {' + '.join(map(str, shares))} = {format_size(total)}"
            yield env.problem(("hosts", host.name, "memory"), found, "the sum of what runs there at least")
