"""Streaming replication: slots on the primary, and replicas that are built from it.

A replica's data is a copy, which is why it may be made anew; what has been a primary is never replaced.
"""

from __future__ import annotations

import shlex
from collections.abc import Generator
from typing import Any

from pyinfra import host
from pyinfra.api import StringCommand, operation

from deploys.operations.files import KIT, installed
from deploys.operations.postgres import control as cluster_control
from deploys.operations.postgres_settings import only_raised
from deploys.operations.postgres_statements import literal
from facts.postgres import PgSettings
from facts.replication import PgReplica, PgSlots, ReplicaState
from mainstay.errors import MainstayError
from mainstay.files import FileSet
from mainstay.plan_notes import irreversible, note


def control(major: int, cluster: str, *words: str) -> str:
    """The command line of the host's own script for a replica."""
    return shlex.join([f"{KIT}/postgres-replica", str(major), cluster, *words])


@operation()
def slots(major: int, cluster: str, wanted: list[str], prefix: str) -> Generator[StringCommand, None, None]:
    """Physical slots, one a replica: made where missing, made anew where lost, dropped where their replica left.

    Args:
        major: of the cluster.
        cluster: its name.
        wanted: names of the slots.
        prefix: how the names begin that may be dropped; one that is in use is named and left.
    """
    found = host.get_fact(PgSlots, major=major, cluster=cluster) or {}
    statements: list[str] = []
    made: list[str] = []
    for name in wanted:
        if name not in found:
            note(name, "create the slot")
        elif found[name].wal_status == "lost":
            note(name, "create the slot anew: what its replica lacks is gone, the replica is to be built again")
            statements.append(f"PERFORM pg_drop_replication_slot({literal(name)});")
        else:
            continue
        # It keeps WAL from now on: beside another copy that begins, what this one begins with would soon be gone.
        statements.append(f"PERFORM pg_create_physical_replication_slot({literal(name)}, true);")
        made.append(name)
    for name in sorted(name for name in found if name.startswith(prefix) and name not in wanted):
        if found[name].active:
            note(name, "the inventory has no such replica, and one uses its slot: left", pending=True)
            continue
        note(name, "drop the slot: the inventory has no such replica")
        statements.append(f"PERFORM pg_drop_replication_slot({literal(name)});")
    if not statements:
        host.noop(f"{len(wanted)} slots are there")
        return
    if made:
        irreversible(f"replication slots made: {', '.join(made)}; they keep WAL until they are used or dropped")
    sql = f"DO $slots$ BEGIN {' '.join(statements)} END $slots$;\n"
    yield StringCommand(cluster_control(major, cluster, "sql", "postgres"), _stdin=sql)


@operation()
def raised(
    major: int, cluster: str, wanted: dict[str, str], leave: tuple[str, str], files: FileSet
) -> Generator[Any, None, None]:
    """Where a replica that runs is to have more of what it may not have less of than its primary: puts its files in
    place and restarts it, before the primary has its turn (RP-05).

    Args:
        major: of the cluster.
        cluster: its name.
        wanted: those settings.
        leave: as `postgres.settled` takes it; without one neither of them is restarted.
        files: the replica's own, with what activates them.
    """
    state = host.get_fact(PgSettings, major=major, cluster=cluster, names=sorted(wanted))
    if state is None or not leave[0] or not only_raised(wanted, state.settings):
        host.noop("nothing to raise ahead of the primary")
        return
    note(f"{major}/{cluster}", "has more of what RP-05 names ahead of its primary")
    yield from installed._inner(files)
    yield StringCommand(control(major, cluster, "activate", "restart"))


@operation()
def built(major: int, cluster: str, unit: str, primary: str) -> Generator[str, None, None]:
    """Copies the primary's data where there is no replica, or one that can never catch up, and starts it.

    Raises:
        MainstayError: the data here is that of a primary.
    """
    state = host.get_fact(PgReplica, major=major, cluster=cluster)
    fault = fault_of(state)
    if is_primary(state):
        found = "a primary runs here" if state.recovering is False else "the data here has been a primary's"
        raise MainstayError(
            f"{found}, expected a replica of {primary}; after a failover the roles of the inventory change, "
            "else move that data away by hand"
        )
    if not fault:
        host.noop(f"follows {primary}")
        return
    note(f"{major}/{cluster}", f"copy of {primary}: {fault}")
    irreversible(f"replica built: {major}/{cluster}")
    yield control(major, cluster, "build", primary)


def is_primary(state: ReplicaState) -> bool:
    """Whether somebody may have written to the data here: it runs, or ran, without following anyone."""
    return state.recovering is False or (state.data and not state.standby and state.started)


def fault_of(state: ReplicaState) -> str:
    """Why the replica has to be built, in words; empty where it has not."""
    if not state.data:
        return "there is no data"
    if not state.standby:
        return "there is an empty cluster"
    if state.behind and not state.streaming:
        return "the primary no longer has the WAL that it lacks"
    return ""
