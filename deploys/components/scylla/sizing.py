"""What follows from the hosts of a cluster: a node's memory and cores, its place, and when it repairs. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from deploys.components.scylla.section import NodePlace, Section
from mainstay.inventory import Environment, Host
from mainstay.inventory.system import DAYS

MIB, GIB = 1024**2, 1024**3
DAY, WEEK = 24 * 60, 7 * 24 * 60
LEAST_A_CORE = GIB
"""Below this for each core Scylla ends at once, outside of developer mode."""
BEFORE_BACKUP, AFTER_BACKUP = 60, 180
"""Minutes around the start of a backup in which no repair begins."""
SPARE = 15
"""Minutes between the latest end of a node's repair and the next node's."""


def cores(host: Host) -> int:
    """`--smp`: all but one of four or more, which interrupts and everything else have."""
    return host.cores - 1 if host.cores >= 4 else host.cores


def memory(host: Host) -> int:
    """`--memory` in bytes, whole MiB: without 1.5 GiB or 7 %, whichever is more, for the system."""
    return max(host.memory - max(3 * GIB // 2, host.memory * 7 // 100), 256 * MIB) // MIB * MIB


def nodes(env: Environment) -> list[Host]:
    """The cluster's nodes, in the inventory's order: in this order they join."""
    return env.hosts_of("scylla")


def place(own: Section, host: Host) -> NodePlace:
    """The node's datacentre and rack."""
    return own.places.get(host.name) or NodePlace(datacenter=own.datacenter, rack=own.rack)


def nodes_in(env: Environment, own: Section) -> dict[str, int]:
    """How many nodes each datacentre has."""
    found: dict[str, int] = {}
    for host in nodes(env):
        there = place(own, host).datacenter
        found[there] = found.get(there, 0) + 1
    return found


def seeds(env: Environment, own: Section) -> list[Host]:
    """Whom a new node asks: the inventory's, else the first node that takes nobody's place."""
    if own.seeds:
        return [host for host in nodes(env) if host.name in own.seeds]
    return [host for host in nodes(env) if host.name not in own.replaces][:1]


@dataclass(frozen=True)
class Turn:
    """When a node repairs: minute of the week from Sunday 00:00 UTC, and how long it may take."""

    minute: int
    most_minutes: int

    @property
    def calendar(self) -> str:
        """As systemd's timers write it."""
        day, minute = divmod(self.minute, DAY)
        return f"{DAYS[day]} *-*-* {minute // 60:02}:{minute % 60:02}:00 UTC"


def turns(names: list[str], start: int, backup: int | None) -> dict[str, Turn]:
    """Each node's turn: spread evenly over the week from Monday on, none near a backup, each over before the next.

    Args:
        names: of the nodes.
        start: minute of the day of the first one.
        backup: minute of the day at which backups start, if there are any.
    """
    begins = [_clear(DAY + start + number * WEEK // len(names), backup) % WEEK for number in range(len(names))]
    later = sorted(begins)
    found = {}
    for name, begin in zip(names, begins, strict=True):
        following = next((other for other in later if other > begin), later[0] + WEEK)
        found[name] = Turn(begin, max(following - begin - SPARE, SPARE))
    return found


def _clear(minute: int, backup: int | None) -> int:
    """The first minute from this one on at which no backup is near."""
    if backup is None or (minute - backup + BEFORE_BACKUP) % DAY >= BEFORE_BACKUP + AFTER_BACKUP:
        return minute
    return minute + BEFORE_BACKUP + AFTER_BACKUP - (minute - backup + BEFORE_BACKUP) % DAY


def turns_of(env: Environment, own: Section) -> dict[str, Turn]:
    """Each node's turn in this environment."""
    hours, minutes = own.repair.start_utc.split(":")
    plan = env.common.backup
    start = int(hours) * 60 + int(minutes)
    return turns([host.name for host in nodes(env)], start, plan.minute_of_day if plan else None)
