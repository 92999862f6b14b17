"""What `postgres` says of its own upkeep: old sessions, vacuuming, migrations, indexes; no component does it yet."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from mainstay.inventory import Duration, Environment, Identifier, Line, Name, Problem, StrictModel
from mainstay.inventory.envvars import Pattern
from mainstay.inventory.fields import matching

Folder = Annotated[
    str, AfterValidator(matching(r"[A-Za-z0-9_.-]+(/([A-Za-z0-9_.-]+|\{database\}))*", "a folder of the release"))
]


class Sessions(StrictModel):
    """What is done about a session of an application that has lasted too long (CX-06)."""

    report_older: Duration | None = Field(None, description="a statement that runs for longer is reported")
    cancel_older: Duration | None = Field(None, description="it is cancelled; the session lives on")
    terminate_idle_older: Duration | None = Field(None, description="a session that does nothing ends")


class Upkeep(StrictModel):
    """Regular work on the tables."""

    vacuum_analyze: Literal["daily", "weekly", "monthly"] | None = None
    reindex: Literal["concurrently"] | None = Field(None, description="in a maintenance window, without locks")
    report_table_sizes: bool = False
    report_tables: list[Identifier] = Field(default_factory=list, description="tables that people ask for by name")


class Migrations(StrictModel):
    """Where a release has its migrations; they run as the owner, and never through a pooler (TP-05)."""

    dir: Folder
    name_pattern: Pattern | None = None
    service: Name | None = Field(None, description="the service whose release brings them")
    command: Line | None = Field(None, description="what runs them, where the files are not SQL")


class Index(StrictModel):
    """An index that the runbook asks for; it is built concurrently."""

    database: Identifier
    table: Identifier
    columns: list[Identifier] = Field(min_length=1)
    where: Line | None = None


def check_upkeep(
    env: Environment, sessions: Sessions, databases: set[str], indexes: dict[str, Index], migrations: Migrations | None
) -> Iterator[Problem]:
    """Ages that contradict one another, indexes of no database, migrations of no service."""
    report, cancel = sessions.report_older, sessions.cancel_older
    if report is not None and cancel is not None and report >= cancel:
        key = ("postgres", "sessions", "report_older")
        yield env.problem(key, f"{report:g} s, and cancelled after {cancel:g} s", "a shorter time than cancel_older")
    for name, index in indexes.items():
        if index.database not in databases:
            key = ("postgres", "indexes", name, "database")
            yield env.problem(key, repr(index.database), "one of postgres.databases")
    service = migrations.service if migrations else None
    if service is not None and service not in env.services:
        key = ("postgres", "migrations", "service")
        yield env.problem(key, repr(service), f"one of {', '.join(env.services)}")
    if migrations is not None and len(databases) > 1 and "{database}" not in migrations.dir:
        key = ("postgres", "migrations", "dir")
        yield env.problem(key, repr(migrations.dir), "{database} in it: there are several")
