"""`mainstay verify`: proves that hosts are what the inventory says."""

from __future__ import annotations

import time
from dataclasses import asdict
from typing import Annotated

import typer

from mainstay import outside
from mainstay.cli import output, progress, target
from mainstay.inventory import Environment
from mainstay.verify import Check, VerifyOutcome, verify


def command(
    environment: Annotated[str, typer.Argument(metavar="SYSTEM/ENV", help=target.TARGET_HELP)],
    limit: Annotated[str | None, typer.Option(help=target.LIMIT_HELP)] = None,
    component: Annotated[list[str] | None, typer.Option(help="Only this component's checks; may be repeated.")] = None,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Show the checks that passed, too.")] = False,
    json: Annotated[bool, typer.Option("--json", help="JSON (docs/json/verify.schema.json).")] = False,
) -> int:
    """Check every host against the inventory: units, listeners, health of each instance, settings in effect, firewall.

    The suites are tests/verify; `pytest tests/verify --inventory SYSTEM/ENV` runs the same.
    """
    loaded = target.environment_of(environment)
    names = target.members(loaded, limit)
    target.announce("verify", loaded, names)
    with progress.working(f"checking {len(names)} hosts"):
        outcome = verify(loaded, names, component)
        if limit is None:
            outcome.checks += _outside(loaded, component)
    if json:
        checks = [asdict(check) for check in outcome.checks]
        output.data({"environment": loaded.name, "ok": outcome.ok, "checks": checks, "unproven": loaded.unproven})
    else:
        show(outcome, verbose=verbose)
        output.unproven(loaded.unproven)
    return 0 if outcome.ok else 1


def _outside(environment: Environment, components: list[str] | None) -> list[Check]:
    """The checks of what is on no host; one that fails where it does not answer."""
    found: list[Check] = []
    for each in outside.of(environment):
        if components is not None and each.component not in components:
            continue
        started = time.monotonic()
        try:
            checks = each.verify()
        except outside.OutsideError as error:
            checks = [("answers", str(error))]
        seconds = (time.monotonic() - started) / max(1, len(checks))
        found += [Check(each.name, each.component, check, not why, why, round(seconds, 3)) for check, why in checks]
    return found


def show(outcome: VerifyOutcome, *, verbose: bool = False) -> None:
    """A line a failed check, and one for each that passed with something to say, then how many passed a host."""
    for check in outcome.checks:
        if not check.ok:
            output.line(f"FAILED {check.host}: {check.component}: {check.check}: {check.reason}", style="red")
        elif check.reason:
            output.line(f"note {check.host}: {check.component}: {check.check}: {check.reason}", style="yellow")
        elif verbose:
            output.line(f"ok {check.host}: {check.component}: {check.check}", style="green")
    rows = []
    for host in dict.fromkeys(check.host for check in outcome.checks):
        mine = [check for check in outcome.checks if check.host == host]
        failed = sum(not check.ok for check in mine)
        rows.append([host, str(len(mine)), str(failed), f"{sum(check.seconds for check in mine):.1f} s"])
    output.table("verification", ["host", "checks", "failed", "time"], rows)
