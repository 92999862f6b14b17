"""The order of a rollout: role by role, within each role one host first, then ramps. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from mainstay.inventory import Environment, Host

# What others depend on comes first; what watches comes last.
ROLE_ORDER = ("db", "db_replica", "cache", "scylla", "ml", "app", "web", "monitoring")


@dataclass(frozen=True)
class Batch:
    """Hosts that are changed side by side, and verified before the next batch begins."""

    role: str
    hosts: tuple[str, ...]


def role_of(host: Host) -> str:
    """The role that places a host of several in the order: its first in `ROLE_ORDER`."""
    return next(role for role in ROLE_ORDER if role in host.roles)


def ramp_sizes(count: int, ramps: Sequence[int]) -> list[int]:
    """How many hosts each batch of a role has: one first, then until each of `ramps` (percent of `count`) is reached.

    A ramp that is already reached makes no batch; whatever the ramps say, every host is in one.
    """
    sizes: list[int] = []
    done = 0
    for target in (1, *(-(-count * percent // 100) for percent in ramps), count):
        if target > done:
            sizes.append(min(target, count) - done)
            done += sizes[-1]
    return sizes


def production(environment: Environment, names: Iterable[str]) -> list[Batch]:
    """Batches over `names` in the order of roles, hosts in the inventory's order."""
    chosen = set(names)
    batches = []
    for role in ROLE_ORDER:
        members = [h.name for h in environment.hosts.values() if h.name in chosen and role_of(h) == role]
        start = 0
        for size in ramp_sizes(len(members), environment.common.rollout.ramps) if members else []:
            batches.append(Batch(role, tuple(members[start : start + size])))
            start += size
    return batches


def whole(environment: Environment, names: Iterable[str]) -> list[Batch]:
    """One batch of everything: staging."""
    chosen = set(names)
    return [Batch("all", tuple(name for name in environment.hosts if name in chosen))]


def of(environment: Environment, names: Iterable[str]) -> list[Batch]:
    """The batches of this environment: staging whole, production role by role."""
    return whole(environment, names) if environment.env == "staging" else production(environment, names)
