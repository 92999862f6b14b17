"""PgBouncer: what runs is what is written."""

from __future__ import annotations

import shlex
from collections.abc import Generator, Mapping

from pyinfra import host
from pyinfra.api import operation

from deploys.operations.files import KIT
from facts.pgbouncer import PgbouncerInEffect, PgbouncerState
from mainstay.plan_notes import note
from mainstay.windows import restart_said

# What the console calls a column that the file calls otherwise.
COLUMNS = {"dbname": "database", "max_db_connections": "max_connections"}


def control(*words: str) -> str:
    """The command line of the host's own script for the pooler."""
    return shlex.join([f"{KIT}/pgbouncer-control", *words])


def differing(
    wanted: Mapping[str, str], databases: Mapping[str, Mapping[str, str]], state: PgbouncerState
) -> list[str]:
    """Settings and databases that are not in effect as written, a sentence each, those of databases first.

    What a version of PgBouncer does not show is left out.
    """
    found = []
    for name, values in databases.items():
        row = state.databases.get(name)
        if row is None:
            found.append(f"{name}: unknown, a database wanted")
            continue
        for key, value in values.items():
            shown = row.get(COLUMNS.get(key, key), value)
            if shown != value:
                found.append(f"{name}: {key} {shown} in effect, {value} wanted")
    strange = sorted(name for name in state.databases if name not in {*databases, "pgbouncer"})
    found += [f"{name}: a database that the inventory does not pool" for name in strange]
    return found + [
        f"{name}: {state.settings[name] or 'empty'} in effect, {value or 'empty'} wanted"
        for name, value in wanted.items()
        if state.settings.get(name, value) != value
    ]


@operation()
def settled(
    wanted: dict[str, str], databases: dict[str, dict[str, str]], leave: tuple[str, str]
) -> Generator[str, None, None]:
    """Undoes SET at the console by a reload; what only a restart changes waits for leave, as plan and run say.

    Args:
        wanted: settings as they are written.
        databases: as they are written, by name.
        leave: why the pooler may be restarted for a setting, or else when it may be.
    """
    state = host.get_fact(PgbouncerInEffect, port=int(wanted["listen_port"]), sockets=wanted["unix_socket_dir"])
    if state is None:
        host.noop("no pooler runs yet")
        return
    allowed = leave[0]
    if not state.reachable:
        text = f"not answered there: {restart_said(leave)}" if allowed else restart_said(leave)
        note("listen_port", text, pending=not allowed)
    changes = differing(wanted, databases, state)
    waiting = [change for change in changes if change.partition(":")[0] in state.fixed]
    for change in changes:
        subject, _, text = change.partition(": ")
        restart = f", {restart_said(leave)}" if change in waiting else ""
        note(subject, text + restart, pending=change in waiting and not allowed)
    if len(changes) > len(waiting) or (allowed and (waiting or not state.reachable)):
        yield control("activate", *(["restart"] if allowed else []))
    else:
        host.noop("settings and databases are in effect, as far as they can be")
