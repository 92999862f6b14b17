"""The order of a rollout: role by role, within each role one host first, then ramps. Pure.

Roles that the inventory calls `side_by_side` take their steps together: the first host of each, then the ramps of each.
What watches begins with the last step of the others: until then it would miss, and tell of, what is still to come.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import islice, zip_longest

from mainstay.inventory import Environment, Host

# What others depend on comes first; what watches comes last.
ROLE_ORDER = ("db", "db_replica", "cache", "scylla", "ml", "app", "web", "monitoring")
# Whose hosts are one cluster: two that are down at once are a quorum lost, two that join at once are refused.
ONE_BY_ONE = frozenset({"scylla"})
# Whose hosts ask all others.
WATCHING = frozenset({"monitoring"})


@dataclass(frozen=True)
class Batch:
    """Hosts that are changed side by side, and verified before the next batch begins.

    `role` names theirs, joined by + where there are several.
    """

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


def production(environment: Environment, names: Iterable[str], turns: Sequence[tuple[str, str]] = ()) -> list[Batch]:
    """Batches over `names` in the order of roles (`turns` as there), hosts in the inventory's order."""
    chosen = set(names)
    order = role_order(environment, turns)
    members: dict[str, list[str]] = {role: [] for role in order}
    for host in environment.hosts.values():
        if host.name in chosen:
            members[role_of(host)].append(host.name)
    rules = environment.common.rollout
    batches = []
    for roles in _turns(order, rules.side_by_side):
        ramps = {role: _ramped(role, members[role], rules.ramps) for role in roles if members[role]}
        for steps in zip_longest(*_placed(ramps).values(), fillvalue=()):
            taking = [role for role, step in zip(ramps, steps, strict=True) if step]
            batches.append(Batch("+".join(taking), tuple(name for step in steps for name in step)))
    return batches


def role_order(environment: Environment, turns: Sequence[tuple[str, str]] = ()) -> list[str]:
    """The roles as this system's take their turns: those of `release.order`'s services in its order, in the places
    that they have among all roles; the first of each pair of `turns` right before the second."""
    services = environment.services
    wanted = list(dict.fromkeys(services[name].role for name in environment.common.release.order if name in services))
    theirs = iter(wanted)
    order = [next(theirs) if role in wanted else role for role in ROLE_ORDER]
    for first, second in turns:
        order.remove(first)
        order.insert(order.index(second), first)
    return order


def pause_before(environment: Environment, before: Batch, batch: Batch) -> float:
    """Seconds to wait between two batches: `release.pause` between those of two services of `release.order`."""
    services = environment.services
    ordered = {services[name].role for name in environment.common.release.order if name in services}
    one, two = (set(each.role.split("+")) & ordered for each in (before, batch))
    return environment.common.release.pause if one and two and one != two else 0.0


def _turns(order: Sequence[str], side_by_side: Sequence[Sequence[str]]) -> list[list[str]]:
    """All roles in their order; those that go side by side where the first of them stands."""
    group_of = {role: sorted(group, key=order.index) for group in side_by_side for role in group}
    turns = [group_of.get(role, [role]) for role in order]
    return [turn for role, turn in zip(order, turns, strict=True) if turn[0] == role]


def _placed(ramps: dict[str, list[tuple[str, ...]]]) -> dict[str, list[tuple[str, ...]]]:
    """The steps of each role, after as many empty ones as it lets the others go ahead."""
    ahead = max((len(steps) for role, steps in ramps.items() if role not in WATCHING), default=1) - 1
    return {role: [()] * ahead + steps if role in WATCHING else steps for role, steps in ramps.items()}


def _ramped(role: str, names: Sequence[str], ramps: Sequence[int]) -> list[tuple[str, ...]]:
    if role in ONE_BY_ONE:
        return [(name,) for name in names]
    rest = iter(names)
    return [tuple(islice(rest, size)) for size in ramp_sizes(len(names), ramps)]


def whole(environment: Environment, names: Iterable[str]) -> list[Batch]:
    """One batch of everything: staging."""
    chosen = set(names)
    return [Batch("all", tuple(name for name in environment.hosts if name in chosen))]


def of(
    environment: Environment, names: Iterable[str], turns: Callable[[], Sequence[tuple[str, str]]] = tuple
) -> list[Batch]:
    """The batches of this environment: staging whole, production role by role, whose `turns` are asked for then."""
    return whole(environment, names) if environment.env == "staging" else production(environment, names, turns())
