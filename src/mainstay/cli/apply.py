"""`mainstay apply`: the chosen hosts of one environment, side by side."""

from __future__ import annotations

from typing import Annotated

import typer

from mainstay import inventory, verify
from mainstay.cli import reporting, target
from mainstay.cli.deadline import DEADLINE_MIN, Deadline, seconds_of
from mainstay.cli.rollout import command_line
from mainstay.engine import rollout
from mainstay.errors import UsageError


def command(
    environment: Annotated[str, typer.Argument(metavar="SYSTEM/ENV", help=target.TARGET_HELP)],
    *,
    limit: Annotated[str | None, typer.Option(help=target.LIMIT_HELP)] = None,
    emergency: Annotated[
        bool, typer.Option("--emergency", help="Production without proof on staging; needs --reason, is recorded.")
    ] = False,
    reason: Annotated[str, typer.Option(help="Why; kept in the ledger.")] = "",
    allow_restart: Annotated[bool, typer.Option("--allow-restart", help=target.RESTART_HELP)] = False,
    deadline: Deadline = DEADLINE_MIN,
    json: Annotated[bool, typer.Option("--json", help="JSON (docs/json/apply.schema.json).")] = False,
) -> int:
    """Bring the chosen hosts to what the inventory says, all at once, and verify them.

    As careful as a rollout, in one batch: a host or a check that fails puts every chosen host back as it was, and
    production takes only a change that staging verified. The same command goes on with an apply that was interrupted;
    `mainstay rollout SYSTEM --env ENV --abort` puts it back.
    """
    if emergency and not reason.strip():
        raise UsageError("--reason: found none, expected why production goes without proof on staging (--emergency)")
    loaded = target.environment_of(environment)
    names = target.members(loaded, limit)
    target.announce("apply", loaded, names)
    lab = inventory.lab_from_environment()
    staging = loaded if loaded.env == "staging" else inventory.load(loaded.system, "staging", lab=lab)
    request = rollout.Request(
        command=command_line(),
        names={loaded.env: names},
        resume=True,
        emergency=emergency,
        reason=reason,
        verb="apply",
        at_once=True,
        allow_restart=allow_restart,
        deadline_s=seconds_of(deadline),
    )
    verify.warm()
    return reporting.carry_out(
        lambda reporter, stop: rollout.Rollout(request, reporter, stop).run([loaded], staging), as_json=json
    )
