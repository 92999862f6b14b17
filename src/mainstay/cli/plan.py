"""`mainstay plan`: what would change."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from mainstay import change
from mainstay.cli import output, progress, target
from mainstay.fleet import Fleet
from mainstay.inventory import Environment
from mainstay.outcome import FleetOutcome, HostOutcome

FOUND_CHANGES = 4


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
    with progress.working(f"asking {len(names)} hosts"), Fleet(loaded, names) as fleet:
        outcome = fleet.plan(target.site())
    if json:
        output.data(as_json(loaded, outcome))
    else:
        show(outcome, diff=diff)
    if not outcome.ok:
        return 1
    return FOUND_CHANGES if exit_code and outcome.changes else 0


def as_json(environment: Environment, outcome: FleetOutcome) -> dict[str, Any]:
    """The plan as `docs/json/plan.schema.json` describes it."""
    return {
        "environment": environment.name,
        "lab": environment.lab.name if environment.lab else None,
        "change": change.change(environment).digest,
        "changes": outcome.changes,
        "hosts": {name: _host_json(host) for name, host in outcome.hosts.items()},
    }


def _host_json(host: HostOutcome) -> dict[str, Any]:
    changes = [
        {"operation": op.name, "notes": [{"subject": note.subject, "text": note.text} for note in op.notes]}
        for op in host.changes
    ]
    return {"ok": host.ok, "reachable": host.reachable, "reason": host.reason, "changes": changes}


def show(outcome: FleetOutcome, *, diff: bool) -> None:
    """The plan for a person: changes a host, then one line of summary."""
    for name, host in outcome.hosts.items():
        if not host.ok:
            output.line(f"{name}: {host.reason}", style="red")
        elif not host.changes:
            output.line(f"{name}: no change", style="green")
        else:
            output.line(f"{name}: {len(host.changes)} changes", style="yellow")
        for op in host.changes:
            output.line(f"  ~ {op.name}")
            for note in op.notes:
                _show_note(note.subject, note.text, diff=diff)
    failed = f", {len(outcome.failed)} hosts failed" if outcome.failed else ""
    output.line(f"{outcome.changes} changes on {len(outcome.hosts)} hosts{failed}")


def _show_note(subject: str, text: str, *, diff: bool) -> None:
    lines = text.splitlines()
    if len(lines) <= 1:
        output.line(f"      {subject}: {text.strip()}", style="dim")
        return
    output.line(f"      {subject}", style="dim")
    for row in lines if diff else []:
        style = {"+": "green", "-": "red", "@": "cyan"}.get(row[:1])
        output.line(f"        {row}", style=style)
