"""`mainstay rollback`: back to the release before."""

from __future__ import annotations

from typing import Annotated

import typer

from mainstay import verify
from mainstay.cli import output, reporting, target
from mainstay.cli.deadline import DEADLINE_MIN, Deadline, seconds_of
from mainstay.cli.rollout import command_line
from mainstay.engine import rollback
from mainstay.engine.stop import Stop
from mainstay.errors import UsageError
from mainstay.inventory import Environment


def command(
    environment: Annotated[str, typer.Argument(metavar="SYSTEM/ENV", help=target.TARGET_HELP)],
    *,
    service: Annotated[
        str | None, typer.Option(help="Only this service; otherwise each that has a release before.")
    ] = None,
    to: Annotated[str | None, typer.Option(help="This version instead of the last one that was verified.")] = None,
    reason: Annotated[str, typer.Option(help="Why; kept in the ledger and in the hold.")] = "",
    lift: Annotated[bool, typer.Option("--lift", help="Lift the hold, so that the version may run again.")] = False,
    limit: Annotated[str | None, typer.Option(help=target.LIMIT_HELP)] = None,
    deadline: Deadline = DEADLINE_MIN,
    json: Annotated[bool, typer.Option("--json", help="JSON (docs/json/rollout.schema.json).")] = False,
) -> int:
    """Return services to the release before, batch by batch, and hold the version that was left.

    The version on hold is refused by rollout and shown by plan until `--lift`. The same command goes on with a rollback
    that was interrupted; `mainstay rollout SYSTEM --env ENV --abort` puts it back.
    """
    loaded = target.environment_of(environment)
    if not lift and not reason.strip():
        raise UsageError("--reason: found none, expected why the release is rolled back")
    if lift and to:
        raise UsageError("--to: found with --lift, expected alone")
    if to and service is None:
        raise UsageError("--to: found without --service, expected the service that has this version")
    if lift and limit:
        raise UsageError("--limit: found with --lift, expected alone: a hold is the whole environment's")
    names = target.members(loaded, limit)
    target.announce("rollback", loaded, names)
    if lift:
        return _lift(loaded, service, json)
    verify.warm()
    request = rollback.Request(command_line(), reason, service, to, tuple(names), seconds_of(deadline))
    return reporting.carry_out(lambda reporter, stop: rollback.rollback(loaded, request, reporter, stop), as_json=json)


def _lift(loaded: Environment, service: str | None, as_json: bool) -> int:
    reporter = reporting.ConsoleReporter()
    with Stop() as stop:
        try:
            lifted = rollback.lift(loaded, service, command_line(), reporter, stop)
        finally:
            reporter.close()
    if as_json:
        output.data({"environment": loaded.name, "lifted": [vars(hold) for hold in lifted]})
        return 0
    for hold in lifted:
        output.line(f"lifted: {hold}")
    if not lifted:
        output.line("nothing is on hold")
    return 0
