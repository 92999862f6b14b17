"""`mainstay check`: everything that can be known to be wrong without a connection."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated, Any

import typer

from mainstay import artefacts, determinism, project
from mainstay.cli import output
from mainstay.cli.target import split
from mainstay.errors import InventoryError, Problem, UsageError
from mainstay.inventory import ENVIRONMENTS, load
from mainstay.inventory.checks import unused, unused_services

CHECKED_HELP = "SYSTEM, or SYSTEM/ENV for one of its environments; by default every system of the project."


def command(
    target: Annotated[str | None, typer.Argument(help=CHECKED_HELP)] = None,
    json: Annotated[bool, typer.Option("--json", help="JSON (docs/json/check.schema.json).")] = False,
) -> int:
    """Check inventories offline: the model, references, what nothing uses, and that rendering is repeatable.

    Every problem is reported at once, with file, line, key, what was found and what was expected.
    """
    reports = [_report(*_named(name)) for name in ([target] if target else project.systems())]
    if not reports:
        raise UsageError("no inventories/<system>/system.yaml in this project; mainstay init NAME writes one")
    if json:
        output.data({"ok": not any(report["problems"] for report in reports), "systems": reports})
    else:
        _print(reports)
    return 2 if any(report["problems"] for report in reports) else 0


def _named(target: str) -> tuple[str, tuple[str, ...]]:
    """The system, and its environments that are asked for: both where none is named."""
    if "/" not in target:
        return target, ENVIRONMENTS
    system, env = split(target)
    return system, (env,)


def _report(system: str, asked: tuple[str, ...]) -> dict[str, Any]:
    """What is known of one system: its environments, problems, and notes."""
    problems: list[Problem] = []
    notes: list[str] = []
    environments = {}
    for name in asked:
        try:
            env = load(system, name)
            problems += unused(env)
            problems += artefacts.unset_variables(env)
            notes += [*env.notes, *unused_services(env), *artefacts.unnamed_variables(env)]
            problems += determinism.check(env)
        except InventoryError as error:
            problems += error.problems
            continue
        environments[name] = {"hosts": len(env.hosts), "services": len(env.services)}
    once = list(dict.fromkeys(problems))  # what stands in the shared file is wrong for both environments
    return {
        "system": system,
        "environments": environments,
        "problems": [asdict(problem) for problem in once],
        "notes": list(dict.fromkeys(notes)),
    }


def _print(reports: list[dict[str, Any]]) -> None:
    for report in reports:
        for problem in report["problems"]:
            output.error(str(Problem(**problem)))
        for note in report["notes"]:
            output.told(note, style="yellow")
        if report["problems"]:
            count = len(report["problems"])
            output.line(f"{report['system']}: {count} problem{'s' if count > 1 else ''}")
        else:
            sizes = ", ".join(f"{name} {size['hosts']} hosts" for name, size in report["environments"].items())
            output.line(f"{report['system']}: ok ({sizes})")
