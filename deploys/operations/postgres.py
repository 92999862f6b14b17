"""PostgreSQL's cluster, roles, databases and privileges: only what differs is sent, by psql's standard input.

pyinfra's own `postgres.role` runs always, puts the password into psql's argv and never alters a role. What these
operations make can't be put back from a journal: roles and databases stay where a rollout is undone.
"""

from __future__ import annotations

import shlex
from collections.abc import Generator, Iterable

from pyinfra import host
from pyinfra.api import StringCommand, operation

from deploys.operations.files import KIT
from deploys.operations.postgres_settings import differing
from deploys.operations.postgres_statements import (
    Change,
    WantedDatabase,
    WantedRole,
    WantedSchema,
    database_changes,
    privilege_changes,
    role_changes,
)
from deploys.operations.scram import matches, verifier
from facts.postgres import ClusterExists, PgDatabases, PgPrivileges, PgRoles, PgSettings, RoleState
from facts.units import UnitStates
from mainstay import context
from mainstay.plan_notes import irreversible, note
from mainstay.windows import restart_said


@operation()
def cluster(major: int, name: str, port: int) -> Generator[str, None, None]:
    """Makes the cluster, with data checksums and UTF-8; starting it waits until it has its configuration."""
    if host.get_fact(ClusterExists, major=major, cluster=name):
        host.noop(f"cluster {major}/{name} is there")
        return
    note(f"{major}/{name}", "create the cluster with data checksums, UTF-8")
    irreversible(f"cluster made: {major}/{name}")
    yield (
        f"LC_ALL=C.UTF-8 pg_createcluster --port {port} --locale C.UTF-8 --encoding UTF8 --start-conf auto "
        f"{major} {shlex.quote(name)} -- --data-checksums"
    )


def control(major: int, name: str, *words: str) -> str:
    """The command line of the host's own script for the cluster."""
    return shlex.join([f"{KIT}/postgres-control", str(major), name, *words])


@operation()
def running(major: int, name: str, unit: str) -> Generator[str, None, None]:
    """Enables and starts the cluster where it is not; a server that refuses to start fails here within seconds.

    Plain `systemctl start` would say nothing (Debian's unit ignores the failure), or wait for ever for a PID file.
    """
    state = host.get_fact(UnitStates, units=[unit]).get(unit)
    starts = state is None or state.active not in ("active", "reloading")
    enables = state is None or state.enabled != "enabled"
    if not starts and not enables:
        host.noop(f"{unit} runs")
        return
    note(unit, " and ".join(verb for verb, wanted in (("enable", enables), ("start", starts)) if wanted))
    if context.run_id():
        yield shlex.join([f"{KIT}/journal", "unit", str(context.run_id()), unit])
    if enables:
        yield shlex.join(["systemctl", "enable", "--quiet", unit])
    if starts:
        yield control(major, name, "activate")


@operation()
def settled(
    major: int, name: str, wanted: dict[str, str], leave: tuple[str, str], files: list[str]
) -> Generator[StringCommand, None, None]:
    """Brings what is in effect to what is written: ALTER SYSTEM of managed settings is reset (TP-09), a file beside
    ours that overrides them removed, the cluster reloaded, and restarted where a setting needs it and there is leave
    for it (DF-12); otherwise plan and run say what waits for a restart, and how it gets one.

    Args:
        major: of the cluster.
        name: of the cluster.
        wanted: settings as they are written.
        leave: why the cluster may be restarted for a setting, or else when it may be (`context.leave_to_restart`).
        files: the paths of our own files.
    """
    state = host.get_fact(PgSettings, major=major, cluster=name, names=sorted(wanted))
    if state is None:
        host.noop("no server runs yet")
        return
    leftovers = [setting for setting in state.altered if setting in wanted]
    for setting in state.altered:
        verb = "reset" if setting in wanted else "left alone, the inventory does not set it"
        note(setting, f"ALTER SYSTEM overrides the files: {verb}")
    strays = _strays(major, name, state.files, files)
    changes = differing(wanted, state.settings)
    waiting = [change for change in changes if change.needs_restart]
    allowed = leave[0]
    for change in changes:
        restart = f", {restart_said(leave)}"
        text = f"{change.found} in effect, {change.wanted} wanted"
        pending = change.needs_restart and not allowed
        note(change.name, text + restart if change.needs_restart else text, pending=pending)
    if leftovers:
        sql = "".join(f"ALTER SYSTEM RESET {setting};\n" for setting in leftovers)
        yield StringCommand(control(major, name, "sql", "postgres"), _stdin=sql)
    for path in strays:
        if context.run_id():
            yield StringCommand(shlex.join([f"{KIT}/journal", "save", str(context.run_id()), path]))
        yield StringCommand(shlex.join(["rm", "-f", "--", path]))
    if leftovers or strays or len(changes) > len(waiting) or (waiting and allowed):
        yield StringCommand(control(major, name, "activate", *(["restart"] if allowed else [])))


@operation()
def roles(major: int, name: str, wanted: list[WantedRole]) -> Generator[StringCommand, None, None]:
    """Creates and alters roles: attributes, limits, memberships, settings, and passwords by their SCRAM verifier."""
    found = host.get_fact(PgRoles, major=major, cluster=name) or {}
    changes = [
        change
        for role in wanted
        for change in role_changes(role, found.get(role.name), _new_verifier(role, found.get(role.name)))
    ]
    yield from _sent(major, name, "postgres", changes, f"{len(wanted)} roles are as they should be", together=True)


@operation()
def databases(
    major: int, name: str, wanted: list[WantedDatabase], managed: frozenset[str]
) -> Generator[StringCommand, None, None]:
    """Creates databases, and brings owner, connection limit and who may connect to what they should be."""
    found = host.get_fact(PgDatabases, major=major, cluster=name) or {}
    changes = [change for each in wanted for change in database_changes(each, found.get(each.name), managed)]
    # CREATE DATABASE cannot run inside a transaction.
    yield from _sent(major, name, "postgres", changes, f"{len(wanted)} databases are as they should be", together=False)


@operation()
def privileges(
    major: int, name: str, database: str, *, schemas: list[WantedSchema], extensions: list[str], managed: frozenset[str]
) -> Generator[StringCommand, None, None]:
    """Grants and revokes inside one database, on what stands there and on what its owners will create."""
    found = host.get_fact(PgPrivileges, major=major, cluster=name, database=database)
    changes = list(privilege_changes(schemas, extensions, found, managed))
    yield from _sent(major, name, database, changes, f"privileges in {database} are as they should be", together=True)


def _strays(major: int, name: str, winners: dict[str, str], ours: list[str]) -> list[str]:
    """The files of conf.d that have the last word on a managed setting and are not ours; the plan names them."""
    folder = f"/etc/postgresql/{major}/{name}/conf.d/"
    found: dict[str, list[str]] = {}
    for setting, path in sorted(winners.items()):
        if path.startswith(folder) and path not in ours:
            found.setdefault(path, []).append(setting)
    for path, settings in found.items():
        note(path, f"sets {', '.join(settings)} over the inventory: removed")
    return list(found)


def _new_verifier(role: WantedRole, state: RoleState | None) -> str | None:
    """The verifier to set, None where the server's own fits the password; the password stays on this machine.

    Raises:
        SecretError: the password cannot be opened, or cannot be one.
    """
    if role.secret is None:
        return None
    password = context.current_environment().secrets.get(role.secret).reveal()
    if state is not None and matches(password, state.salt, state.verifier_digest):
        return None
    return verifier(password)


def _sent(
    major: int, name: str, database: str, changes: Iterable[Change], unchanged: str, *, together: bool
) -> Generator[StringCommand, None, None]:
    """Sends the statements by standard input, `together` in one transaction."""
    changes = list(changes)
    if not changes:
        host.noop(unchanged)
        return
    for change in changes:
        note(change.subject, change.note)
    irreversible(f"PostgreSQL, in {database}: {', '.join(dict.fromkeys(change.subject for change in changes))}")
    statements = [change.sql for change in changes]
    if together:
        statements = ["BEGIN;", *statements, "COMMIT;"]
    yield StringCommand(control(major, name, "sql", database), _stdin="\n".join(statements) + "\n")
