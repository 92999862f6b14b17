"""`mainstay rollout`: staging, then production, verified on the way."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from mainstay import inventory, project, verify
from mainstay.cli import output, reporting, target
from mainstay.cli.deadline import DEADLINE_MIN, Deadline, seconds_of
from mainstay.engine import rollout
from mainstay.engine.report import RunResult
from mainstay.engine.stop import Stop
from mainstay.errors import UsageError
from mainstay.inventory import Environment


def command(
    system: Annotated[str, typer.Argument(metavar="SYSTEM", help="The system, for example shop.")],
    *,
    env: Annotated[str | None, typer.Option(help="Only staging, or only production.")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the rollout that was interrupted.")] = False,
    abort: Annotated[bool, typer.Option("--abort", help="Put back every host of the rollout that is open.")] = False,
    emergency: Annotated[
        bool, typer.Option("--emergency", help="Production without proof on staging; needs --reason, is recorded.")
    ] = False,
    reason: Annotated[
        str, typer.Option(help="Why; kept in the ledger. With --abort: close the run, whatever is left.")
    ] = "",
    allow_restart: Annotated[bool, typer.Option("--allow-restart", help=target.RESTART_HELP)] = False,
    limit: Annotated[str | None, typer.Option(help=f"{target.LIMIT_HELP} Needs --env.")] = None,
    deadline: Deadline = DEADLINE_MIN,
    json: Annotated[bool, typer.Option("--json", help="JSON (docs/json/rollout.schema.json).")] = False,
) -> int:
    """Bring staging to what the inventory says, verify it, then production host by host, verified after each batch.

    A host or a check that fails puts every host of that environment back as it was. Production takes only a change that
    staging verified. After an interruption, --resume goes on and --abort puts back, from any laptop.
    """
    seconds = seconds_of(deadline)
    _check_options(resume=resume, abort=abort, emergency=emergency, reason=reason, limit=limit, env=env)
    environments = _environments(system, env)
    for environment in environments:
        target.announce("rollout", environment, _limited(environment, limit))

    def work(reporter: reporting.ConsoleReporter, stop: Stop) -> RunResult:
        if abort:
            return _abort(environments, reporter, stop, reason)
        request = rollout.Request(
            command=command_line(),
            names={e.env: _limited(e, limit) for e in environments},
            resume=resume,
            emergency=emergency,
            reason=reason,
            allow_restart=allow_restart,
            deadline_s=seconds,
        )
        verify.warm()
        staging = environments[0] if environments[0].env == "staging" else _load(system, "staging")
        return rollout.Rollout(request, reporter, stop).run(environments, staging)

    return reporting.carry_out(work, as_json=json)


def command_line() -> str:
    """The command as it was typed, for the lease and the ledger; options of Mainstay never hold a secret."""
    return " ".join(["mainstay", *sys.argv[1:]])[:200]


def _check_options(
    *, resume: bool, abort: bool, emergency: bool, reason: str, limit: str | None, env: str | None
) -> None:
    if resume and abort:
        raise UsageError("--resume, --abort: found both, expected one of them")
    if emergency and not reason.strip():
        raise UsageError("--reason: found none, expected why production goes without proof on staging (--emergency)")
    if emergency and abort:
        raise UsageError("--emergency: found with --abort, expected alone: an abort passes no gate")
    if limit and env is None:
        raise UsageError("--limit: found without --env, expected --env staging or --env production")


def _environments(system: str, env: str | None) -> list[Environment]:
    if system.endswith(("/staging", "/production")) and env is None:
        system, _, env = system.partition("/")
    if env is not None and env not in inventory.ENVIRONMENTS:
        raise UsageError(f"--env: found {env!r}, expected staging or production")
    if "/" in system:
        raise UsageError(f"SYSTEM: found {system!r}, expected one of {', '.join(project.systems()) or 'none yet'}")
    return [_load(system, name) for name in ([env] if env else inventory.ENVIRONMENTS)]


def _load(system: str, env: str) -> Environment:
    return inventory.load(system, env, lab=inventory.lab_from_environment())


def _limited(environment: Environment, limit: str | None) -> list[str]:
    return target.members(environment, limit)


def _abort(environments: list[Environment], reporter: reporting.ConsoleReporter, stop: Stop, reason: str) -> RunResult:
    """Production first: it was begun last."""
    result = RunResult(environments[0].system, "abort")
    for environment in reversed(environments):
        one = rollout.abort(environment, command_line(), reporter, stop, reason)
        result.environments += one.environments
        result.notes += one.notes
        result.seconds += one.seconds
    if not result.environments:
        output.told("nothing is open: no host was touched")
    return result
