"""Whose turn comes first in a rollout, as the primary is now (RP-05)."""

from __future__ import annotations

from collections.abc import Callable, Collection

from deploys.components.postgres.model import CLUSTER
from deploys.components.postgres.model import section as cluster
from deploys.components.replication.files import no_less
from deploys.components.replication.model import declared, primary, replicas, slot
from deploys.operations.postgres_settings import only_raised
from facts.postgres import PgSettings
from facts.replication import PgSlots
from mainstay.inventory import Environment

REPLICAS_FIRST = ("db_replica", "db")


def turns(env: Environment, names: Collection[str], ask: Callable[[str, str], str]) -> list[tuple[str, str]]:
    """Replicas before their primary where it gets more of what they may not have less of; else the primary, which
    makes what new replicas need, and must have less before they may.

    Args:
        env: the environment.
        names: the hosts that the rollout is about.
        ask: what a command prints on a host.
    """
    if not declared(env) or primary(env).name not in names or not {host.name for host in replicas(env)} & {*names}:
        return []
    db, major, wanted = primary(env).name, cluster(env).major, no_less(env, primary(env))
    settings, slots = PgSettings(), PgSlots()
    found = settings.process(ask(db, settings.command(major, CLUSTER, sorted(wanted))).splitlines())
    there = slots.process(ask(db, slots.command(major, CLUSTER)).splitlines())
    if found is None or there is None or not {slot(host) for host in replicas(env)} <= there.keys():
        return []
    return [REPLICAS_FIRST] if only_raised(wanted, found.settings) else []
