"""`mainstay history`: who did what, when, and what came of it."""

from __future__ import annotations

from typing import Annotated

import typer

from mainstay.cli import output, progress, target
from mainstay.engine import index, snapshot
from mainstay.engine.records import Record, records
from mainstay.fleet import Fleet
from mainstay.inventory import Environment


def command(
    system: Annotated[str, typer.Argument(metavar="SYSTEM[/ENV]", help="A system, or one of its environments.")],
    count: Annotated[int, typer.Option("-n", "--count", min=1, help="How many runs.")] = 10,
    limit: Annotated[str | None, typer.Option(help=target.LIMIT_HELP)] = None,
    offline: Annotated[bool, typer.Option("--offline", help="Only what this laptop remembers.")] = False,
    json: Annotated[bool, typer.Option("--json", help="JSON (docs/json/history.schema.json).")] = False,
) -> int:
    """Show the newest runs: when, who, what, which versions, and the result.

    The hosts' own ledgers are the truth; this laptop's index answers for those that cannot be reached.
    """
    environments = target.environments_of(system)
    names = {e.env: target.members(e, limit) for e in environments}
    told: list[str] = []
    damaged = False
    for environment in [] if offline else environments:
        with progress.working(f"asking the hosts of {environment.name}"):
            sentences, bad = _refresh(environment, names[environment.env])
        told += sentences
        damaged = damaged or bad
    world = index.world(environments[0])
    rows = [
        row for e in environments for row in index.rows(world, e.system, e.env) if not limit or row.host in names[e.env]
    ]
    found = records(rows)[:count]
    if json:
        output.data({"runs": [record.as_json() for record in found], "notes": told})
    else:
        _show(found, told)
    return 1 if damaged else 0


def _refresh(environment: Environment, names: list[str]) -> tuple[list[str], bool]:
    """Reads these hosts' ledgers into the index; sentences about hosts and rows, and whether a row is damaged."""
    with Fleet(environment, names) as fleet:
        states = snapshot.read(fleet, names)
    lost = index.refresh(environment, states)
    broken = [f"{name}: {state.ledger.damage}" for name, state in states.items() if state.ledger.damage]
    away = [f"{name} does not answer: what this laptop remembers" for name, s in states.items() if not s.reachable]
    return [*broken, *lost, *away], bool(broken or lost)


def _show(found: list[Record], told: list[str]) -> None:
    columns = ["when", "who", "environment", "what", "result", "releases", "changes", "run"]
    output.table("history", columns, [_cells(record) for record in found])
    for record in found:
        if record.reason:
            output.line(f"{record.run}: {record.reason}", style="dim")
    for sentence in told:
        output.told(sentence, style="yellow")
    if not found:
        output.told("no run is recorded")


def _cells(record: Record) -> list[str]:
    """One run on one line of a wide terminal; the time to the minute, in UTC."""
    return [
        record.when[:16].replace("T", " "),
        record.who,
        record.environment,
        record.verb + (" (emergency)" if record.emergency else ""),
        record.result,
        ", ".join(f"{name} {version}" for name, version in record.releases.items()),
        f"{record.changes} on {len(record.hosts)} hosts",
        record.run,
    ]
