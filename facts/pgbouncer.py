"""A PgBouncer as it runs: its settings, and where its databases lead."""

from __future__ import annotations

from dataclasses import dataclass, field

from pyinfra.api import FactBase
from typing_extensions import override

_COLUMN = "\x1f"


@dataclass(frozen=True)
class PgbouncerState:
    """`settings` as `SHOW CONFIG` prints them, those of `fixed` only by a restart; `databases` by name and column.

    `reachable` is False where one runs and does not answer on this port.
    """

    reachable: bool
    settings: dict[str, str] = field(default_factory=dict)
    fixed: frozenset[str] = frozenset()
    databases: dict[str, dict[str, str]] = field(default_factory=dict)


def console(port: int, sockets: str, command: str) -> str:
    """A shell command that prints a table of the admin console, columns parted by the unit separator, names first.

    The console lets its own user in by the socket, without a password, where the client is the system's user postgres.
    """
    return (
        f"runuser -u postgres -- psql -XAqw -P footer=off -F $(printf '\\037') -h {sockets} -p {port} "
        f"-U pgbouncer -d pgbouncer -c '{command}' 2>/dev/null"
    )


class PgbouncerInEffect(FactBase[PgbouncerState | None]):
    """The pooler that runs; None where none does."""

    @override
    def command(self, port: int, sockets: str) -> str:  # type: ignore[override]
        return (
            "cd /; if systemctl is-active --quiet pgbouncer.service; then echo running; echo settings; "
            f"{console(port, sockets, 'SHOW CONFIG')}; echo databases; {console(port, sockets, 'SHOW DATABASES')}; fi; "
            "true"
        )

    @staticmethod
    @override
    def default() -> PgbouncerState | None:
        return None

    @override
    def process(self, output: list[str]) -> PgbouncerState | None:
        return parse_state(output)


def parse_state(lines: list[str]) -> PgbouncerState | None:
    """Reads `running`, `settings` with a table below it, `databases` with another."""
    if "running" not in lines:
        return None
    start = lines.index("settings") if "settings" in lines else len(lines)
    end = lines.index("databases", start) if "databases" in lines[start:] else len(lines)
    settings = table(lines[start + 1 : end])
    return PgbouncerState(
        bool(settings),
        {row["key"]: row.get("value", "") for row in settings if "key" in row},
        frozenset(row["key"] for row in settings if row.get("changeable") == "no"),
        {row["name"]: row for row in table(lines[end + 1 :]) if "name" in row},
    )


def table(lines: list[str]) -> list[dict[str, str]]:
    """The rows of a table whose first line names its columns; they differ from version to version."""
    rows = [line.split(_COLUMN) for line in lines if _COLUMN in line]
    return [dict(zip(rows[0], row, strict=False)) for row in rows[1:]]
