"""Rows of many hosts as runs: what `history` shows."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

from mainstay.engine.ledger import INCOMPLETE, LIFTED, PUT_BACK, VERIFIED, Row

# A run is as good as its worst host.
_WORST_FIRST = (INCOMPLETE, "failed", PUT_BACK, LIFTED, VERIFIED)


@dataclass(frozen=True)
class Record:
    """One run on one environment, put together from its hosts' rows; `seconds` is the slowest host's."""

    when: str
    who: str
    machine: str
    run: str
    environment: str
    verb: str
    result: str
    change: str
    releases: dict[str, str]
    hosts: list[str]
    changes: int
    passed: int
    failed: int
    seconds: float
    reason: str
    emergency: bool

    def as_json(self) -> dict[str, Any]:
        """One entry of `docs/json/history.schema.json`."""
        return asdict(self)


def records(rows: Iterable[Row]) -> list[Record]:
    """The runs, newest first; a host counts with its last row of a run."""
    runs: dict[tuple[str, str], dict[str, Row]] = {}
    for row in sorted(rows, key=lambda row: (row.when, row.n)):
        runs.setdefault((row.run, row.env), {})[row.host] = row
    found = [_record(list(hosts.values())) for hosts in runs.values()]
    return sorted(found, key=lambda record: (record.when, record.run), reverse=True)


def _record(rows: list[Row]) -> Record:
    last = max(rows, key=lambda row: row.when)
    results = {row.result for row in rows}
    releases = {name: version for row in rows for name, version in row.releases.items()}
    return Record(
        when=last.when,
        who=last.who,
        machine=last.machine,
        run=last.run,
        environment=f"{last.system}/{last.env}",
        verb=last.verb,
        result=next((result for result in _WORST_FIRST if result in results), last.result),
        change=last.change,
        releases=dict(sorted(releases.items())),
        hosts=sorted(row.host for row in rows),
        changes=sum(row.changes for row in rows),
        passed=sum(row.passed for row in rows),
        failed=sum(row.failed for row in rows),
        seconds=max(row.seconds for row in rows),
        reason=last.reason,
        emergency=any(row.emergency for row in rows),
    )
