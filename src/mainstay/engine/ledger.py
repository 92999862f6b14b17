"""The hosts' own record: one JSON row a line, each naming the digest of the line before. Pure, but for `append`.

A row ends with its own hash and carries `prev`, the SHA-256 of the whole line before it, so that a changed, removed or
inserted row shows, the last one too. Rows hold names of operations, counts, versions and sentences, never a secret.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field, fields
from datetime import UTC, datetime
from typing import Any

from mainstay import hostkit
from mainstay.errors import HostError
from mainstay.fleet import Fleet
from mainstay.secrets import mask

FIRST = "-"
VERIFIED, FAILED, PUT_BACK, INCOMPLETE, LIFTED = "verified", "failed", "put back", "incomplete", "lifted"
RESULTS = (VERIFIED, FAILED, PUT_BACK, INCOMPLETE, LIFTED)
MOST_NAMES = 40
_HASH_TAIL = 75  # ,"hash":"<64>"} at the end of a line


@dataclass(frozen=True)
class Row:
    """What one run did on one host; times are UTC (`2026-11-22T03:15:00Z`), `seconds` are the run's own."""

    when: str
    who: str
    machine: str
    run: str
    system: str
    env: str
    host: str
    verb: str
    result: str
    change: str
    releases: dict[str, str] = field(default_factory=dict)
    changed: list[str] = field(default_factory=list)
    changes: int = 0
    passed: int = 0
    failed: int = 0
    seconds: float = 0.0
    reason: str = ""
    emergency: bool = False
    files: str = ""
    irreversible: list[str] = field(default_factory=list)
    n: int = 0
    prev: str = FIRST

    @property
    def time(self) -> datetime:
        """`when` as a time."""
        return datetime.strptime(self.when, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)


@dataclass(frozen=True)
class Damage:
    """The first row that does not fit the chain: its number, from 1, and what is wrong with it."""

    row: int
    why: str

    def __str__(self) -> str:
        return f"ledger row {self.row} is damaged ({self.why})"


@dataclass
class Ledger:
    """One host's rows, oldest first, as far as they can be read."""

    rows: list[Row] = field(default_factory=list)
    lines: list[str] = field(default_factory=list)
    damage: Damage | None = None

    @property
    def head(self) -> str:
        """The digest that the next row must name as `prev`."""
        return line_digest(self.lines[-1]) if self.lines else FIRST

    @property
    def last(self) -> Row | None:
        """The newest row that can be read."""
        return self.rows[-1] if self.rows else None


def now() -> str:
    """This moment, as rows write it."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def line_digest(line: str) -> str:
    """SHA-256 (hex) of one line, without its line break."""
    return hashlib.sha256(line.encode()).hexdigest()


def encode(row: Row) -> str:
    """The line of a row whose `n` and `prev` are set, its hash last; no line break."""
    body = json.dumps(asdict(row), sort_keys=True, separators=(",", ":"))
    return f'{body[:-1]},"hash":"{line_digest(body)}"}}'


def read(lines: Iterable[str]) -> Ledger:
    """The rows of a ledger, checked: what does not fit is `damage`, never an exception."""
    ledger = Ledger()
    prev = FIRST
    for number, line in enumerate(lines, start=1):
        row, why = _row(line)
        if not why and row is not None:
            if row.prev != prev:
                why = "it does not follow the row before"
            elif row.n != number:
                why = f"it calls itself row {row.n}"
        if why and ledger.damage is None:
            ledger.damage = Damage(number, why)
        if row is not None:
            ledger.rows.append(row)
        ledger.lines.append(line)
        prev = line_digest(line)
    return ledger


def _row(line: str) -> tuple[Row | None, str]:
    try:
        data = json.loads(line)
        given = data.pop("hash")
        known = {entry.name for entry in fields(Row)}
        row = Row(**{key: value for key, value in data.items() if key in known})
        row.time  # noqa: B018  a row without a readable time is damaged
    except (ValueError, TypeError, KeyError, AttributeError):
        return None, "it cannot be read"
    # The hash is over the text as written, so that a newer version's rows with more fields stay whole.
    return row, "" if line_digest(line[:-_HASH_TAIL] + "}") == given else "its content does not match its hash"


def _read_from(fleet: Fleet, name: str) -> Ledger:
    return read(fleet.shell(name, hostkit.inline("ledger", "read")).splitlines())


def numbered(row: Row, ledger: Ledger) -> Row:
    """The row as the next one of this ledger."""
    data: dict[str, Any] = {entry.name: getattr(row, entry.name) for entry in fields(Row)}
    data.update(n=len(ledger.lines) + 1, prev=ledger.head)
    data["changed"] = row.changed[:MOST_NAMES]
    data["reason"] = mask(row.reason)[:500]
    return Row(**data)


def append(fleet: Fleet, row: Row, known: Ledger | None = None, attempts: int = 3) -> Ledger:
    """Adds one row to its host's ledger, behind whatever stands there now, and returns the ledger with it.

    Args:
        known: the ledger as it was read a moment ago; where others have added rows since, it is read again.

    Raises:
        HostError: the host cannot be asked, or others kept adding rows.
    """
    error: HostError | None = None
    for attempt in range(attempts):
        ledger = known if known is not None and attempt == 0 else _read_from(fleet, row.host)
        line = encode(numbered(row, ledger))
        try:
            fleet.shell(row.host, hostkit.inline("ledger", "append", ledger.head), stdin=line + "\n")
        except HostError as moved:
            if "has moved on" not in str(moved):
                raise
            error = moved
            continue
        return read([*ledger.lines, line])
    raise HostError(row.host, f"the ledger could not be written in {attempts} attempts ({error})")
