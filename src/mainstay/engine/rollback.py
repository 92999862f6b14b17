"""Back to the release before: services only, same batches and lease, and a hold on the version that was left."""

from __future__ import annotations

import importlib
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from mainstay import change, project, verify
from mainstay.engine import batches, holds, ledger, runs
from mainstay.engine.entries import entry
from mainstay.engine.holds import Hold
from mainstay.engine.phase import Phase
from mainstay.engine.report import Reporter, RunResult
from mainstay.engine.rollout import read, remember, take_over
from mainstay.engine.snapshot import HostState
from mainstay.engine.stop import Stop
from mainstay.engine.versions import Step, choose
from mainstay.engine.writer import Work, Writer, meta_of
from mainstay.errors import GateError, UsageError
from mainstay.fleet import Fleet
from mainstay.inventory import Artefact, Environment, Release
from mainstay.transport.shell import DEADLINE_S

RELEASES_ONLY = "release.py"


@dataclass(frozen=True)
class Request:
    """What the operator asked for; every service with a release before where `service` is None.

    `names`: the hosts that it is about; the hold is on all hosts of the service, as the version is. `deadline_s`: as a
    fleet's.
    """

    command: str
    reason: str
    service: str | None = None
    to: str | None = None
    names: tuple[str, ...] = ()
    deadline_s: float = DEADLINE_S


def returned(environment: Environment, steps: Iterable[Step]) -> Environment:
    """The same environment with these services pinned to what they return to."""
    releases = dict(environment.releases)
    for step in steps:
        own = releases.get(step.service)
        listed = dict(own.artefacts) if own else {}
        # A version that releases.yaml has dropped still stands on the hosts, which is all that a rollback needs.
        listed.setdefault(step.to, Artefact(file=f"{step.service}-{step.to}.tar", sha256=step.sha256))
        releases[step.service] = Release(version=step.to, artefacts=listed)
    return replace(environment, releases=releases)


def rollback(environment: Environment, request: Request, reporter: Reporter, stop: Stop) -> RunResult:
    """Returns services to the release before and puts the version that was left on hold.

    Raises:
        UsageError: no such service, or no way to tell which version is meant.
        GateError, LeaseError, HostError, Interrupted: as for a rollout.
    """
    started = time.monotonic()
    services = _services(environment, request.service)
    names = _hosts(environment, request, services)
    result = RunResult(environment.system, "rollback")
    with Fleet(environment, list(environment.hosts), deadline_s=request.deadline_s) as fleet:
        meta = meta_of(environment, "rollback", "", request.command, reason=request.reason)
        with Writer(fleet, meta, reporter, stop) as writer:
            states = read(fleet, names)
            found = _preflight(environment, states)
            mine = {name: state for name, state in states.items() if name in names}
            steps = _again(found, states) if found else _steps(environment, request, services, mine)
            if found:
                take_over(writer, found)
                names = [name for name in environment.hosts if name in {*names, *found.hosts}]
            target = returned(environment, steps)
            # The hosts' data, the verification and the ledger's rows all come from the pins.
            writer.environment = fleet.environment = target
            versions = {name: release.version for name, release in target.releases.items()}
            writer.meta = replace(writer.meta, change=change.change(target).digest, releases=versions)
            for step in steps:
                reporter.told(f"{step.service}: {step.leave} -> {step.to}")
            work = Work(entry(RELEASES_ONLY), _components(), budget=0)
            # All at once: each host proves the release on its other slot before it gets a request, and time counts.
            outcome = Phase(writer, work, batches.whole(target, names), found).run()
            if outcome.hosts_ok:
                _hold(writer, steps, request.reason)
        result.seconds = time.monotonic() - started
        result.environments.append(outcome)
        remember(environment, fleet, reporter)
    result.notes += _slow(environment, steps, result.seconds)
    return result


def lift(environment: Environment, service: str | None, command: str, reporter: Reporter, stop: Stop) -> list[Hold]:
    """Removes the holds (of one service, where named) from every host; the holds that were there.

    Raises:
        LeaseError: somebody writes to the environment.
        HostError: a host does not answer.
    """
    with Fleet(environment, list(environment.hosts)) as fleet:
        meta = meta_of(environment, "lift", "", command)
        with Writer(fleet, meta, reporter, stop) as writer:
            states = read(fleet, list(environment.hosts))
            found = holds.in_force(hold for state in states.values() for hold in state.holds)
            lifted = [hold for hold in found if service in (None, hold.service)]
            for hold in lifted:
                having = [name for name, state in states.items() if any(h.service == hold.service for h in state.holds)]
                holds.lift(fleet, having, hold.service)
                writer.record(having, ledger.LIFTED, f"{hold.service} {hold.version} may run again")
    return lifted


def _hosts(environment: Environment, request: Request, services: list[str]) -> list[str]:
    roles = {environment.services[name].role for name in services}
    names = [host.name for host in environment.hosts.values() if roles & set(host.roles)]
    chosen = [name for name in names if not request.names or name in request.names]
    if names and not chosen:
        raise UsageError(f"--limit: found no host of {', '.join(services)}, expected one of {', '.join(names)}")
    return chosen


def _services(environment: Environment, service: str | None) -> list[str]:
    if service is None:
        return list(environment.releases)
    if service not in environment.services:
        raise UsageError(f"--service: found {service!r}, expected one of {', '.join(environment.services)}")
    return [service]


def _preflight(environment: Environment, states: Mapping[str, HostState]) -> runs.OpenRun | None:
    """Refuses on top of another run; an interrupted rollback is gone on with."""
    found = runs.open_runs(states)
    if not found:
        return None
    if found[0].meta is None or found[0].meta.verb != "rollback" or found[0].going_back:
        runs.check_none_open(environment, states)
    return found[0]


def _steps(
    environment: Environment, request: Request, services: list[str], states: Mapping[str, HostState]
) -> list[Step]:
    steps = []
    for service in services:
        release = environment.releases.get(service)
        pinned = {v: artefact.sha256 for v, artefact in release.artefacts.items()} if release else {}
        step = choose(service, states, request.to, pinned)
        if step is not None:
            steps.append(step)
    if not steps:
        told = ", ".join(services) or "no service"
        raise GateError(f"{environment.name}: there is no verified release to return to ({told}); nothing was changed")
    return steps


def _again(found: runs.OpenRun, states: Mapping[str, HostState]) -> list[Step]:
    """The steps of a rollback that was interrupted, as it said when it began."""
    assert found.meta is not None  # noqa: S101  _preflight
    steps = []
    for service, version in found.meta.releases.items():
        on_hosts = [s.releases[service] for s in states.values() if service in s.releases]
        left = sorted({release.current for release in on_hosts} - {version})
        before = sorted({release.previous for release in on_hosts if release.current == version} - {version, ""})
        sha256 = next((release.kept[version] for release in on_hosts if version in release.kept), "")
        if sha256 and (left or before):
            steps.append(Step(service, (left or before)[0], version, sha256))
    return steps


def _hold(writer: Writer, steps: Iterable[Step], reason: str) -> None:
    for step in steps:
        service = writer.environment.services[step.service]
        names = [host.name for host in writer.environment.hosts_of(service.role)]
        hold = Hold(step.service, step.leave, step.to, writer.meta.who, ledger.now(), reason)
        holds.set_on(writer.fleet, names, hold)
        writer.reporter.told(str(hold))


def _components() -> list[str]:
    """The verifications of what a release is; a rollback that proves more than it touches takes too long."""
    project.install()
    wanted: list[str] = importlib.import_module("deploys.order").RELEASES
    known = {path.stem.removeprefix("test_") for path in verify.suites()}
    return [stem for stem in wanted if stem in known]


def _slow(environment: Environment, steps: Iterable[Step], seconds: float) -> list[str]:
    """A sentence a service whose rollback took longer than the runbook allows (`rollback_sla_s`)."""
    limits = environment.common.rollback_sla_s
    return [
        f"{step.service}: the rollback took {seconds:.0f} s, more than the {limits[step.service]} s of rollback_sla_s"
        for step in steps
        if step.service in limits and seconds > limits[step.service]
    ]
