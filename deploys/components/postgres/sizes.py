"""Sizes that the inventory gives to PostgreSQL itself, against the memory of the hosts that have to hold them."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from deploys.components.postgres.tuning import AUTOVACUUM_WORKERS, HASH_MEM_MULTIPLIER, KIB, MIB, size, text_of
from deploys.operations.postgres_settings import in_unit
from mainstay.inventory import Environment, Problem


@dataclass(frozen=True)
class _Bound:
    """What a setting counts in without a unit (and its bytes), and the part of a host's memory that it may take."""

    unit: str
    of: int
    part: int
    expected: str


_BOUNDS = {
    "shared_buffers": _Bound("8kB", 8 * KIB, 2, "half of the host's memory at most"),
    "work_mem": _Bound(
        "kB",
        KIB,
        2 * HASH_MEM_MULTIPLIER,
        f"a quarter of the host's memory at most: one hash takes {HASH_MEM_MULTIPLIER} times as much",
    ),
    "maintenance_work_mem": _Bound(
        "kB",
        KIB,
        2 * AUTOVACUUM_WORKERS,
        f"a sixth of the host's memory at most: {AUTOVACUUM_WORKERS} autovacuum workers may take it at once",
    ),
}


def check_sizes(env: Environment, settings: Mapping[str, object]) -> Iterator[Problem]:
    """A cluster whose own cache does not fit its host would not start again; sorts that do not fit end it later.

    What is no size at all is PostgreSQL's to refuse, before its restart.
    """
    for name, bound in _BOUNDS.items():
        given, wanted = text_of(settings.get(name, "")), bytes_of(settings, name) or 0
        for host in [*env.hosts_of("db"), *env.hosts_of("db_replica")]:
            if wanted > host.memory // bound.part:
                said = given if given.endswith("B") else f"{given}, which is {size(wanted)},"
                found = f"{said} on {host.name}, which has {host.memory // MIB} MiB"
                yield env.problem(("postgres", "settings", name), found, bound.expected)


def bytes_of(settings: Mapping[str, object], name: str) -> int | None:
    """What a setting that counts memory holds, in bytes; None where the inventory gives none, or what is no size."""
    count = in_unit(text_of(settings.get(name, "")), _BOUNDS[name].unit)
    return round(count * _BOUNDS[name].of) if count is not None and 0 <= count < math.inf else None
