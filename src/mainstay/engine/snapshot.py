"""Everything the engine asks about a host, in one answer: open runs, holds, lease, releases, units, files, ledger."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from mainstay import hostkit
from mainstay.engine import ledger, scripts
from mainstay.engine.holds import Hold
from mainstay.fleet import Fleet

# States of a run's journal on one host.
OPEN, VERIFIED, DONE, BACK, INCOMPLETE = "open", "verified", "done", "back", "incomplete"
ENDED = (DONE, BACK)


@dataclass(frozen=True)
class RunOnHost:
    """What one host knows of a run: the state of its journal, and what the writer said when it opened."""

    run: str
    state: str
    meta: dict[str, Any]
    irreversible: tuple[str, ...] = ()


@dataclass(frozen=True)
class ReleaseOnHost:
    """One service's links `current` and `previous`, the slot that serves, and the SHA-256 of each version kept."""

    service: str
    current: str
    previous: str
    slot: str
    kept: dict[str, str]


@dataclass(frozen=True)
class UnitOnHost:
    """A unit of the system, or one that failed."""

    unit: str
    active: str
    sub: str
    restarts: int


@dataclass
class HostState:
    """One host as it answered; `reason` says why it did not."""

    host: str
    reachable: bool = True
    reason: str = ""
    runs: list[RunOnHost] = field(default_factory=list)
    holds: list[Hold] = field(default_factory=list)
    lease: dict[str, Any] = field(default_factory=dict)
    releases: dict[str, ReleaseOnHost] = field(default_factory=dict)
    units: list[UnitOnHost] = field(default_factory=list)
    deadman: str = "idle"
    differs: list[str] = field(default_factory=list)
    plain: list[str] = field(default_factory=list)
    files: str = ""
    ledger: ledger.Ledger = field(default_factory=ledger.Ledger)

    @property
    def outside(self) -> list[str]:
        """What was changed on this host since the last row of its ledger that says how it should be; sentences."""
        said = [f"{path} was changed by hand" for path in self.differs]
        said += [f"{path} was written by plain pyinfra" for path in self.plain]
        settled = (ledger.VERIFIED, ledger.PUT_BACK)
        last = next((row for row in reversed(self.ledger.rows) if row.result in settled), None)
        if last is None:
            return said
        if not said and last.files and self.files != last.files:
            said.append("the record of managed files is not the one in the ledger")
        for service, version in last.releases.items():
            found = self.releases.get(service)
            if found is not None and found.current != version:
                said.append(f"{service} is {found.current}, the ledger says {version}")
        return said


def read(fleet: Fleet, names: Iterable[str]) -> dict[str, HostState]:
    """The state of each host, asked side by side; a fleet that a run writes to does not ask for its own lease."""
    command = hostkit.inline("snapshot", fleet.environment.system, *(["writer"] if fleet.run_id else []))
    wanted = list(names)
    answers = scripts.ask(fleet, wanted, command, timeout=60)
    states = {}
    for name in wanted:
        if name in answers.said:
            states[name] = parse(name, answers.said[name])
        else:
            states[name] = HostState(name, reachable=False, reason=answers.failed[name])
    return states


def parse(name: str, text: str) -> HostState:
    """Reads what the host script `snapshot` prints; lines of another shape are ignored."""
    state = HostState(name)
    irreversible: dict[str, list[str]] = {}
    lines: list[str] = []
    runs: list[tuple[str, str, dict[str, Any]]] = []
    for line in text.splitlines():
        kind, _, rest = line.partition("\t")
        cells = rest.split("\t")
        if kind == "run" and len(cells) == 3:
            runs.append((cells[0], cells[1].strip(), _json(cells[2])))
        elif kind == "irreversible" and len(cells) == 2:
            irreversible.setdefault(cells[0], []).append(cells[1])
        elif kind == "ledger":
            lines.append(rest)
        else:
            _fact(state, kind, cells)
    state.runs = [RunOnHost(run, word, meta, tuple(irreversible.get(run, ()))) for run, word, meta in runs]
    state.ledger = ledger.read(lines)
    return state


def _fact(state: HostState, kind: str, cells: list[str]) -> None:
    if kind == "hold" and (hold := Hold.read(cells[0])):
        state.holds.append(hold)
    elif kind == "lease":
        state.lease = _json(cells[0]) or {"operator": "somebody"}
    elif kind == "release" and len(cells) == 5:
        service, current, previous, slot, kept = cells
        versions = dict(word.partition("=")[::2] for word in kept.split())
        state.releases[service] = ReleaseOnHost(service, current, previous, slot, versions)
    elif kind == "unit" and len(cells) >= 4:
        state.units.append(UnitOnHost(cells[0], cells[1], cells[2], int(cells[3]) if cells[3].isdigit() else 0))
    elif kind == "deadman":
        state.deadman = cells[0]
    elif kind == "managed" and len(cells) == 2:
        target = {"differs": state.differs, "plain": state.plain}.get(cells[0])
        if target is not None:
            target.append(cells[1])
        elif cells[0] == "digest":
            state.files = cells[1]


def _json(text: str) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}
