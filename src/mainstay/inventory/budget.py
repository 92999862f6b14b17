"""How many database connections a system's services may open together (PT-11, DF-13)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from mainstay.inventory.environment import Environment
from mainstay.inventory.services import Service


@dataclass(frozen=True)
class Demand:
    """One service's share, as the product that it is."""

    service: str
    hosts: int
    instances: int
    workers: int
    pool: int

    @property
    def connections(self) -> int:
        """The product."""
        return self.hosts * self.instances * self.workers * self.pool

    def __str__(self) -> str:
        counts = ((self.hosts, "host"), (self.instances, "instance"), (self.workers, "worker"))
        product = " x ".join(f"{count} {word}{'' if count == 1 else 's'}" for count, word in counts)
        return f"{self.service}: {product} x {self.pool} = {self.connections}"


def demands(env: Environment, pool_of: Callable[[Service], int] = lambda service: service.pool) -> list[Demand]:
    """Each service's largest number of connections, for services that have a pool: of the database, or `pool_of`'s."""
    return [
        Demand(
            service.name,
            len(env.hosts_of(service.role)),
            service.peak_instances,
            service.workers,
            pool,
        )
        for service in env.services.values()
        if (pool := pool_of(service)) > 0
    ]
