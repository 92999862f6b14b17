"""`mainstay status`: what runs where, and what is not as it should be."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated, Any

import typer

from mainstay.cli import output, progress, target
from mainstay.cli.reporting import SHORT
from mainstay.engine import gate, holds, index, runs, snapshot
from mainstay.engine.snapshot import HostState
from mainstay.errors import MainstayError, UsageError
from mainstay.fleet import Fleet
from mainstay.inventory import Environment


def command(
    system: Annotated[str, typer.Argument(metavar="SYSTEM[/ENV]", help="A system, or one of its environments.")],
    limit: Annotated[str | None, typer.Option(help=f"{target.LIMIT_HELP} Needs SYSTEM/ENV.")] = None,
    json: Annotated[bool, typer.Option("--json", help="JSON (docs/json/status.schema.json).")] = False,
) -> int:
    """Show each host: versions, slot, units, last run, lease, open run, holds, and what was changed outside.

    Ends with 1 when something is wrong.
    """
    if limit and "/" not in system:
        raise UsageError("--limit: found without an environment, expected SYSTEM/staging or SYSTEM/production")
    environments = target.environments_of(system)
    found = []
    for environment in environments:
        names = target.members(environment, limit)
        if not json:
            target.announce("status", environment, names)
        with progress.working(f"asking {len(names)} hosts"):
            states = ask(environment, names)
        found.append((environment, states, _lost(environment, states)))
    if json:
        output.data({"environments": [_json(*entry) for entry in found]})
    else:
        for entry in found:
            _show(*entry)
    return 1 if any(wrong(*entry) for entry in found) else 0


def ask(environment: Environment, names: list[str]) -> dict[str, HostState]:
    """The state of these hosts of the environment."""
    with Fleet(environment, names) as fleet:
        return snapshot.read(fleet, names)


def wrong(environment: Environment, states: dict[str, HostState], lost: list[str]) -> list[str]:
    """A sentence for each thing that is not as it should be."""
    said = [f"{environment.name}: {run}" for run in runs.open_runs(states)]
    for name, state in states.items():
        if not state.reachable:
            said.append(f"{name}: does not answer: {state.reason}")
        said += [f"{name}: {sentence}" for sentence in state.outside]
        if state.ledger.damage:
            said.append(f"{name}: {state.ledger.damage}")
        if state.deadman.startswith(("fired", "firing")):
            said.append(f"{name}: the dead man's switch undid a change: {state.deadman}")
        said += [
            f"{name}: {unit.unit} is {unit.active} ({unit.sub})" for unit in state.units if unit.active == "failed"
        ]
    return [*said, *lost]


def _lost(environment: Environment, states: dict[str, HostState]) -> list[str]:
    try:
        return index.refresh(environment, states)
    except MainstayError as error:
        return [str(error)]


def _show(environment: Environment, states: dict[str, HostState], lost: list[str]) -> None:
    rows = []
    for name, state in states.items():
        last = state.ledger.last
        rows.append(
            [
                name,
                " ".join(environment.hosts[name].roles),
                "yes" if state.reachable else "NO",
                ", ".join(_release(release) for release in state.releases.values()),
                _units(state),
                f"{last.when} {last.verb} {last.result} {last.change[:SHORT]}" if last else "",
            ]
        )
    output.table(environment.name, ["host", "roles", "answers", "releases", "units", "last run"], rows)
    for name, state in states.items():
        if state.lease:
            output.line(gate.taken(name, state.lease), style="yellow")
    for hold in holds.in_force(hold for state in states.values() for hold in state.holds):
        output.line(str(hold), style="yellow")
    for sentence in wrong(environment, states, lost):
        output.line(sentence, style="red")
    output.unproven(environment.unproven)


def _release(release: snapshot.ReleaseOnHost) -> str:
    told = f"{release.service} {release.current}"
    return f"{told} on {release.slot}" if release.slot else told


def _units(state: HostState) -> str:
    active = sum(unit.active == "active" for unit in state.units)
    others = [f"{unit.unit} {unit.active}" for unit in state.units if unit.active not in ("active", "inactive")]
    return ", ".join([f"{active} active", *others]) if state.units else ""


def _json(environment: Environment, states: dict[str, HostState], lost: list[str]) -> dict[str, Any]:
    return {
        "environment": environment.name,
        "lab": environment.lab.name if environment.lab else None,
        "ok": not wrong(environment, states, lost),
        "wrong": wrong(environment, states, lost),
        "open_runs": [{"run": run.run, "hosts": run.hosts} for run in runs.open_runs(states)],
        "unproven": environment.unproven,
        "holds": [asdict(hold) for hold in holds.in_force(h for state in states.values() for h in state.holds)],
        "hosts": {name: _host_json(state) for name, state in states.items()},
    }


def _host_json(state: HostState) -> dict[str, Any]:
    return {
        "reachable": state.reachable,
        "reason": state.reason,
        "releases": {name: asdict(release) for name, release in state.releases.items()},
        "units": [asdict(unit) for unit in state.units],
        "lease": state.lease or None,
        "deadman": state.deadman,
        "changed_outside": state.outside,
        "last": asdict(state.ledger.last) if state.ledger.last else None,
        "rows": len(state.ledger.lines),
        "damage": str(state.ledger.damage) if state.ledger.damage else None,
    }
