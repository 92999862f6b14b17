"""What `postgres` says of its own upkeep: ages of sessions, indexes, migrations."""

from __future__ import annotations

from pathlib import Path

import pytest

from deploys.components.postgres.model import section
from tests.unit.inventories import Edit, copied, loaded, messages


def said(text: str) -> Edit:
    """One more key of the section."""
    return ("system.yaml", "  pooler: {enabled: false}", f"  {text}\n  pooler: {{enabled: false}}")


TWO = (
    "system.yaml",
    "    everydayai: {owner: everydayai_owner} ",
    "    other: {owner: everydayai_owner}\n    everydayai: {owner: everydayai_owner} ",
)
BOTH = ("system.yaml", "{kind: owner, databases: [everydayai],", "{kind: owner, databases: [everydayai, other],")

CASES: dict[str, tuple[list[Edit], str]] = {
    "reported after it is cancelled": (
        [said("sessions: {report_older: 10m, cancel_older: 10m}")],
        "postgres.sessions.report_older: found 600 s, and cancelled after 600 s, "
        "expected a shorter time than cancel_older",
    ),
    "an index of no database": (
        [said("indexes: {users_email: {database: shop, table: users, columns: [email]}}")],
        "postgres.indexes.users_email.database: found 'shop', expected one of postgres.databases",
    ),
    "an index of nothing": (
        [said("indexes: {users_email: {database: everydayai, table: users, columns: []}}")],
        "postgres.indexes.users_email.columns: found an empty list, expected at least 1 of them",
    ),
    "migrations of no service": (
        [("system.yaml", "    service: backend ", "    service: api ")],
        "postgres.migrations.service: found 'api', expected one of frontend, backend",
    ),
    "migrations outside of the release": (
        [("system.yaml", "dir: docs/database/migrations", "dir: /srv/migrations")],
        "postgres.migrations.dir: found '/srv/migrations', expected a folder of the release",
    ),
    "one folder for two databases": (
        [TWO, BOTH],
        "postgres.migrations.dir: found 'docs/database/migrations', expected {database} in it: there are several",
    ),
}


@pytest.mark.parametrize(("edits", "message"), CASES.values(), ids=CASES.keys())
def test_each_fault_is_one_sentence(tmp_path: Path, edits: list[Edit], message: str) -> None:
    assert messages(copied(tmp_path, *edits)) == [message]


def test_ages_are_each_systems_own(tmp_path: Path) -> None:
    edit = said("sessions: {report_older: 5m, cancel_older: 10m, terminate_idle_older: 1h}")
    own = section(loaded(copied(tmp_path, edit))).sessions
    assert (own.report_older, own.cancel_older, own.terminate_idle_older) == (300.0, 600.0, 3600.0)
