"""`mainstay plan`: what would change."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Annotated, Any

import typer

from mainstay import change, inventory, offline, outside
from mainstay.cli import output, progress, target
from mainstay.engine import gate, holds, snapshot
from mainstay.engine.holds import Hold
from mainstay.fleet import Fleet
from mainstay.inventory import Environment
from mainstay.outcome import FleetOutcome, HostOutcome, OpOutcome

FOUND_CHANGES = 4


@dataclass
class Refusals:
    """What would keep an apply of this plan from beginning: holds in force, and why the gate is shut, if it is."""

    holds: list[Hold] = field(default_factory=list)
    gate: str = ""


def command(
    environment: Annotated[str, typer.Argument(metavar="SYSTEM/ENV", help=target.TARGET_HELP)],
    limit: Annotated[str | None, typer.Option(help=target.LIMIT_HELP)] = None,
    exit_code: Annotated[bool, typer.Option("--exit-code", help="End with 4 when there are changes.")] = False,
    diff: Annotated[bool, typer.Option(help="Show the diffs of files.")] = True,
    json: Annotated[bool, typer.Option("--json", help="JSON (docs/json/plan.schema.json).")] = False,
) -> int:
    """Show what `apply` would change on each host, with diffs; reads only.

    Operations are judged by the state before the change: what depends on the result of another shows once that is in.
    """
    loaded = target.environment_of(environment)
    names = target.members(loaded, limit)
    target.announce("plan", loaded, names)
    offline.check(loaded, names)
    with progress.working(f"asking {len(names)} hosts"), Fleet(loaded, names) as fleet:
        outcome = fleet.plan(target.site())
        refusals = ask(loaded, fleet)
        pending = outside.pending(loaded) if limit is None else {}
    if json:
        output.data(as_json(loaded, outcome, refusals, pending))
    else:
        show(outcome, pending, diff=diff)
        _show_refusals(loaded, refusals)
        output.unproven(loaded.unproven)
    if not outcome.ok:
        return 1
    return FOUND_CHANGES if exit_code and (outcome.changes or pending) else 0


def ask(environment: Environment, fleet: Fleet) -> Refusals:
    """Asks the hosts of the plan for holds and, for production, those of staging for their proof."""
    found = holds.in_force(holds.read(fleet, [name for name in fleet.names if fleet.alive(name)]))
    if environment.env != "production":
        return Refusals(found)
    staging = inventory.load(environment.system, "staging", lab=environment.lab.name if environment.lab else None)
    with Fleet(staging, list(staging.hosts)) as other:
        proof = snapshot.read(other, staging.hosts)
    return Refusals(found, gate.shut(environment, proof))


def as_json(
    environment: Environment, outcome: FleetOutcome, refusals: Refusals, pending: dict[str, list[str]]
) -> dict[str, Any]:
    """The plan as `docs/json/plan.schema.json` describes it."""
    return {
        "environment": environment.name,
        "lab": environment.lab.name if environment.lab else None,
        "change": change.change(environment).digest,
        "changes": outcome.changes,
        "holds": [asdict(hold) for hold in refusals.holds],
        "gate": refusals.gate,
        "unproven": environment.unproven,
        "hosts": {name: _host_json(host) for name, host in outcome.hosts.items()},
        "outside": pending,
    }


def _host_json(host: HostOutcome) -> dict[str, Any]:
    def rows(ops: list[OpOutcome]) -> list[dict[str, Any]]:
        return [
            {"operation": op.name, "notes": [{"subject": note.subject, "text": note.text} for note in op.notes]}
            for op in ops
        ]

    return {
        "ok": host.ok,
        "reachable": host.reachable,
        "reason": host.reason,
        "changes": rows(host.changes),
        "remarks": rows(host.remarks),
        "questions": host.questions,
        "known": host.known,
    }


def show(outcome: FleetOutcome, pending: dict[str, list[str]], *, diff: bool) -> None:
    """The plan for a person: changes a host (`~`), remarks (`!`), then one line of summary."""
    for name, host in outcome.hosts.items():
        if not host.ok:
            output.line(f"{name}: {host.reason}", style="red")
        elif not host.changes:
            output.line(f"{name}: no change", style="green")
        else:
            output.line(f"{name}: {len(host.changes)} changes", style="yellow")
        for mark, op in [*(("~", op) for op in host.changes), *(("!", op) for op in host.remarks)]:
            output.line(f"  {mark} {op.name}")
            for note in op.notes:
                _show_note(note.subject, note.text, diff=diff)
    for name, lines in pending.items():
        output.line(f"{name}: {lines[0]}", style="yellow")
        for line in lines[1:]:
            output.line(f"      {line}", style="dim")
    failed = f", {len(outcome.failed)} hosts failed" if outcome.failed else ""
    output.line(f"{outcome.changes} changes on {len(outcome.hosts)} hosts{failed}")


def _show_refusals(environment: Environment, refusals: Refusals) -> None:
    for hold in refusals.holds:
        output.line(str(hold), style="yellow")
    if refusals.gate:
        output.line(f"the gate of {environment.name} is shut: {refusals.gate}", style="yellow")


def _show_note(subject: str, text: str, *, diff: bool) -> None:
    lines = text.splitlines()
    if len(lines) <= 1:
        output.line(f"      {subject}: {text.strip()}", style="dim")
        return
    output.line(f"      {subject}", style="dim")
    for row in lines if diff else []:
        style = {"+": "green", "-": "red", "@": "cyan"}.get(row[:1])
        output.line(f"        {row}", style=style)
