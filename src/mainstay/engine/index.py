"""This laptop's index of the hosts' ledgers, in SQLite: for `history` without a network, and to notice lost rows."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from mainstay.engine import ledger
from mainstay.engine.snapshot import HostState
from mainstay.errors import MainstayError
from mainstay.inventory import Environment
from mainstay.ssh import state_folder

_SCHEMA = """
create table if not exists rows (
    world text not null, system text not null, env text not null, host text not null, n integer not null,
    run text not null, at text not null, digest text not null, line text not null,
    primary key (world, system, env, host, n)
);
create index if not exists rows_by_time on rows (world, system, at);
"""


def world(environment: Environment) -> str:
    """Which world the rows are of: a lab's hosts share their names with real ones."""
    return f"lab:{environment.lab.name}" if environment.lab else "real"


def refresh(environment: Environment, states: Mapping[str, HostState]) -> list[str]:
    """Takes over the rows of the hosts that answered; sentences about rows that were here and are there no more.

    A ledger with another first row is a new host of the same name, and replaces what was known of the old one.

    Raises:
        MainstayError: the index cannot be written.
    """
    told = []
    with _open() as index:
        for name, state in states.items():
            if state.reachable:
                told += _refresh_one(index, environment, name, state.ledger)
    return told


def _refresh_one(index: sqlite3.Connection, environment: Environment, name: str, found: ledger.Ledger) -> list[str]:
    key = (world(environment), environment.system, environment.env, name)
    where = "world = ? and system = ? and env = ? and host = ?"
    known = dict(index.execute(f"select n, digest from rows where {where}", key))  # noqa: S608  no values in it
    now = {number: ledger.line_digest(line) for number, line in enumerate(found.lines, start=1)}
    lost: list[int] = []
    if known and known.get(1) == now.get(1):
        lost = sorted(number for number, digest in known.items() if now.get(number) != digest)
    else:
        index.execute(f"delete from rows where {where}", key)  # noqa: S608
    if lost:  # what was seen stays, so that it is told until somebody has looked into it
        return [f"{name}: ledger row {lost[0]} is not the one that this laptop has seen"]
    for row, line in zip(found.rows, found.lines, strict=False) if not found.damage else []:
        index.execute(
            "insert or replace into rows values (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (*key, row.n, row.run, row.when, ledger.line_digest(line), line),
        )
    return []


def rows(environment_or_world: str, system: str, env: str | None = None) -> list[ledger.Row]:
    """The rows that this laptop knows, newest first.

    Raises:
        MainstayError: the index cannot be read.
    """
    query = "select line from rows where world = ? and system = ?"
    values = [environment_or_world, system]
    if env:
        query, values = f"{query} and env = ?", [*values, env]
    with _open() as index:
        lines = [line for (line,) in index.execute(f"{query} order by at desc, run desc, host", values)]
    return [row for line in lines for row in ledger.read([line]).rows]


@contextmanager
def _open() -> Iterator[sqlite3.Connection]:
    path: Path = state_folder() / "ledger.sqlite"
    try:
        connection = sqlite3.connect(path, timeout=10)
        try:
            path.chmod(0o600)
            connection.executescript(_SCHEMA)
            with connection:
                yield connection
        finally:
            connection.close()
    except sqlite3.Error as error:
        raise MainstayError(
            f"{path}: found an index that cannot be used ({error}); it may be deleted, hosts keep the rows"
        ) from error


def as_json(row: ledger.Row) -> dict[str, object]:
    """One row of `docs/json/history.schema.json`."""
    return dict(json.loads(ledger.encode(row)))
