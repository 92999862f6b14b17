"""A run: one rollout or rollback of one environment, known to its hosts, so that any laptop can go on or undo it."""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import Any

from mainstay import hostkit
from mainstay.engine import scripts
from mainstay.engine.snapshot import BACK, DONE, ENDED, INCOMPLETE, VERIFIED, HostState
from mainstay.errors import GateError
from mainstay.fleet import Fleet
from mainstay.inventory import Environment

# apt on a slow mirror is the longest step that an interrupted laptop leaves behind.
SETTLE_S = 300


@dataclass(frozen=True)
class Meta:
    """What the writer says of a run when it opens it on a host."""

    run: str
    verb: str
    system: str
    env: str
    change: str
    who: str
    machine: str
    since: str
    command: str
    releases: dict[str, str] = field(default_factory=dict)
    reason: str = ""
    emergency: bool = False

    @classmethod
    def of(cls, data: Mapping[str, Any]) -> Meta | None:
        """The meta in a host's `run.json`; None where it holds something else."""
        known = {name: data[name] for name in cls.__dataclass_fields__ if name in data}
        try:
            return cls(**known)
        except TypeError:
            return None


@dataclass
class OpenRun:
    """A run that has ended nowhere near all its hosts: the state of its journal on each host that knows it."""

    run: str
    meta: Meta | None
    hosts: dict[str, str]

    @property
    def going_back(self) -> bool:
        """A put-back has begun: it can only be finished."""
        return any(state in (BACK, INCOMPLETE) for state in self.hosts.values())

    @property
    def verified(self) -> set[str]:
        """The hosts that need nothing more."""
        return {name for name, state in self.hosts.items() if state in (VERIFIED, DONE)}

    @property
    def to_put_back(self) -> list[str]:
        """The hosts that are not as they were before the run."""
        return [name for name, state in self.hosts.items() if state != BACK]

    def __str__(self) -> str:
        told = f"run {self.run}"
        if self.meta:
            told += f" ({self.meta.verb} by {self.meta.who} on {self.meta.machine}, {self.meta.since})"
        states = ", ".join(f"{name} {state}" for name, state in self.hosts.items())
        return f"{told} is open: {states}"


def new_id(moment: datetime | None = None) -> str:
    """A sortable plain name: `20261122T031500Z-9f3a`."""
    return f"{moment or datetime.now(UTC):%Y%m%dT%H%M%SZ}-{secrets.token_hex(2)}"


def open_runs(states: Mapping[str, HostState]) -> list[OpenRun]:
    """The runs that are not ended on every host that knows them, newest first."""
    found: dict[str, OpenRun] = {}
    for name, state in states.items():
        for run in state.runs:
            entry = found.setdefault(run.run, OpenRun(run.run, None, {}))
            entry.hosts[name] = run.state
            entry.meta = entry.meta or Meta.of(run.meta)
    unfinished = [run for run in found.values() if any(state not in ENDED for state in run.hosts.values())]
    return sorted(unfinished, key=lambda run: run.run, reverse=True)


def check_none_open(environment: Environment, states: Mapping[str, HostState]) -> None:
    """Refuses to begin on top of what somebody left.

    Raises:
        GateError: with the run, and both ways on.
    """
    for run in open_runs(states):
        raise GateError(f"{environment.name}: {run}; {ways_on(environment, run.meta.verb if run.meta else 'rollout')}")


def ways_on(environment: Environment, verb: str) -> str:
    """The two commands that end a run of `verb` which was interrupted."""
    rollout = f"mainstay rollout {environment.system} --env {environment.env}"
    ahead = f"{rollout} --resume" if verb == "rollout" else f"the same mainstay {verb} {environment.name}"
    return f"{ahead} goes on with it, {rollout} --abort puts its hosts back"


def check_resumable(environment: Environment, run: OpenRun, verb: str, change: str) -> None:
    """Refuses to go on with what is another change, another verb, or on its way back.

    Raises:
        GateError: with the reason.
    """
    abort = f"mainstay rollout {environment.system} --env {environment.env} --abort puts its hosts back"
    if run.going_back:
        raise GateError(f"{environment.name}: {run}; it is being put back, which only --abort can finish: {abort}")
    if run.meta is None:
        raise GateError(f"{environment.name}: {run}; what it was is not known: {abort}")
    if run.meta.verb != verb:
        raise GateError(f"{environment.name}: {run}; {ways_on(environment, run.meta.verb)}")
    if run.meta.change != change:
        raise GateError(
            f"{environment.name}: {run}; it rolled out change {run.meta.change[:12]}, this tree is {change[:12]}: "
            f"go back to that tree, or {abort}"
        )


def open_on(fleet: Fleet, names: Iterable[str], meta: Meta) -> scripts.Answers:
    """Opens the run's journal on each host, before anything changes there."""
    text = json.dumps(asdict(meta), sort_keys=True)
    return scripts.ask(fleet, names, hostkit.inline("runs", "open", meta.run, text))


def mark(fleet: Fleet, names: Iterable[str], run: str, state: str) -> scripts.Answers:
    """Sets the state of the run's journal on each host."""
    return scripts.ask(fleet, names, hostkit.inline("journal", "mark", run, state))


def settle(fleet: Fleet, names: Iterable[str], run: str) -> scripts.Answers:
    """Waits until nothing that an interrupted laptop started for this run is still at work on the hosts."""
    command = hostkit.inline("runs", "settle", run, str(SETTLE_S))
    return scripts.ask(fleet, names, command, timeout=SETTLE_S + 30)
