"""A whole rollout: preflight, staging whole, the gate, production in batches; or going on with one, or undoing one."""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from functools import partial

from mainstay import artefacts, change, components, offline, outside
from mainstay.engine import batches, gate, index, ledger, runs, snapshot
from mainstay.engine.entries import entry
from mainstay.engine.phase import Phase
from mainstay.engine.putback import put_back, put_back_outside
from mainstay.engine.report import EnvironmentResult, Reporter, RunResult
from mainstay.engine.runs import Meta, OpenRun
from mainstay.engine.stop import Stop
from mainstay.engine.writer import STOPPED, Work, Writer, meta_of
from mainstay.errors import GateError, HostError, Interrupted, MainstayError
from mainstay.fleet import Fleet
from mainstay.inventory import Environment
from mainstay.transport.shell import DEADLINE_S

SITE, FETCH = "site.py", "fetch.py"


@dataclass(frozen=True)
class Request:
    """What the operator asked for. `names`: the hosts by environment where `--limit` narrows them.

    `at_once`: one batch of all of them, production too. `allow_restart`: servers may be restarted for settings.
    `deadline_s`: as a fleet's.
    """

    command: str
    names: Mapping[str, list[str]] = field(default_factory=dict)
    resume: bool = False
    emergency: bool = False
    reason: str = ""
    verb: str = "rollout"
    at_once: bool = False
    allow_restart: bool = False
    deadline_s: float = DEADLINE_S

    def of(self, environment: Environment) -> list[str]:
        """The hosts that this environment's part is about."""
        return self.names.get(environment.env) or list(environment.hosts)


class Rollout:
    """One command over one or two environments of a system."""

    def __init__(self, request: Request, reporter: Reporter, stop: Stop) -> None:
        self.request = request
        self.reporter = reporter
        self.stop = stop

    def run(self, environments: list[Environment], staging: Environment) -> RunResult:
        """Rolls out to each environment in turn; production only behind the gate.

        Args:
            environments: staging, production, or both, in this order.
            staging: whose hosts' ledgers the gate reads.

        Raises:
            InventoryError: a template fails, or an artefact is missing or another than the one that is pinned.
            SecretError: a secret cannot be opened.
            HostError: a host did not answer before anything was changed.
            GateError, LeaseError: refused; nothing was changed in that environment.
            Interrupted: the operator stopped it.
        """
        result = RunResult(environments[0].system, self.request.verb)
        started = time.monotonic()
        for environment in environments:
            offline.check(environment, self.request.of(environment))
            self._releases(environment)
        for environment in environments:
            offline.open_secrets(environment)
        with ExitStack() as stack:
            fleets = {e.env: stack.enter_context(self._fleet(e)) for e in environments}
            for environment in environments:
                self._preflight(environment, fleets[environment.env])
            for environment in environments:
                if environment.env == "production":
                    self._gate(environment, staging, fleets.get("staging"), result)
                outcome = self._environment(environment, fleets[environment.env])
                result.environments.append(outcome)
                if not outcome.ok:
                    break
        result.seconds = time.monotonic() - started
        return result

    def _fleet(self, environment: Environment) -> Fleet:
        asked = self.request
        return Fleet(
            environment, list(environment.hosts), allow_restart=asked.allow_restart, deadline_s=asked.deadline_s
        )

    def _releases(self, environment: Environment) -> None:
        """Refuses releases that production would not take, before staging is busy with them."""
        found = list(artefacts.gates(environment)) if environment.env == "production" else []
        if found and not self.request.emergency:
            raise GateError(
                f"{environment.name}: {'; '.join(found)}; build a release that passes, or go round the gate with "
                "--emergency --reason TEXT, which is recorded"
            )

    def _preflight(self, environment: Environment, fleet: Fleet) -> None:
        """Everything that can refuse is asked before the first change anywhere; the lease is only looked at."""
        states = read(fleet, self.request.of(environment))
        gate.check_lease(environment, states)
        gate.check_artefacts(environment, states, self.request.of(environment))
        outside.pending(environment)
        self._check(environment, states)

    def _check(self, environment: Environment, states: Mapping[str, snapshot.HostState]) -> OpenRun | None:
        """Refuses what must not begin; the open run to go on with, where `--resume` found one."""
        if not self.request.emergency:
            gate.check_ledgers(environment, states)
        gate.check_holds(environment, states)
        if not self.request.resume:
            runs.check_none_open(environment, states)
            return None
        found = runs.open_runs(states)
        if found:
            runs.check_resumable(environment, found[0], self.request.verb, change.change(environment).digest)
        return found[0] if found else None

    def _gate(self, environment: Environment, staging: Environment, fleet: Fleet | None, result: RunResult) -> None:
        with ExitStack() as stack:
            asked = fleet or stack.enter_context(Fleet(staging, list(staging.hosts)))
            states = snapshot.read(asked, staging.hosts)
        why = gate.shut(environment, states)
        if not why:
            return
        if not self.request.emergency:
            raise GateError(
                f"{environment.name}: {why}; roll out to staging first, or go round the gate with "
                "--emergency --reason TEXT, which is recorded"
            )
        result.notes.append(f"went round the gate: {why}; reason: {self.request.reason}")
        self.reporter.told(result.notes[-1])

    def _environment(self, environment: Environment, fleet: Fleet) -> EnvironmentResult:
        meta = meta_of(
            environment,
            self.request.verb,
            change.change(environment).digest,
            self.request.command,
            reason=self.request.reason,
            emergency=self.request.emergency,
        )
        with Writer(fleet, meta, self.reporter, self.stop) as writer:
            # Once more under the lease: a colleague may have been here since the preflight.
            found = self._check(environment, read(fleet, self.request.of(environment)))
            if found:
                take_over(writer, found)
            work = Work(entry(SITE), budget=environment.common.rollout.budget)
            # What an interrupted run has begun is finished with it, whatever this limit says.
            names = [*self.request.of(environment), *(found.hosts if found else ())]
            turns = partial(components.turns, environment, names, fleet.shell)
            at_once = self.request.at_once
            chosen = batches.whole(environment, names) if at_once else batches.of(environment, names, turns)
            if len(chosen) > 1:  # else every host fetches at the same time anyway, when it installs
                self._fetch(writer, names, "more " if found else "")
            outcome = Phase(writer, work, chosen, found).run()
        remember(environment, fleet, self.reporter)
        return outcome

    def _fetch(self, writer: Writer, names: list[str], more: str) -> None:
        """Downloads for all batches at once: waiting is shared, and a mirror that fails does so before any change.

        Raises:
            HostError: a host cannot get its packages.
            Interrupted: the operator stopped it.
        """
        step = f"{writer.environment.name} packages"
        writer.reporter.begin(step, names)
        started = time.monotonic()
        outcome = writer.fleet.apply(entry(FETCH), writer.reporter, names)
        if self.stop.asked:
            raise Interrupted(f"{writer.environment.name}: {STOPPED} before anything {more}was changed")
        for host in outcome.failed:
            raise HostError(host.host, f"{host.reason}; nothing {more}was changed")
        fetched = f"fetched for {outcome.changes} hosts" if outcome.changes else "nothing to fetch"
        writer.reporter.end(step, time.monotonic() - started, fetched)


def read(fleet: Fleet, needed: list[str]) -> dict[str, snapshot.HostState]:
    """The state of every reachable host of the fleet.

    Raises:
        HostError: one that is needed does not answer; nothing was changed.
    """
    states = snapshot.read(fleet, fleet.names)
    down = {name: state.reason for name, state in states.items() if not state.reachable}
    for name in needed:
        if name in down:
            others = [other for other in needed if other in down and other != name]
            more = f" (nor do {', '.join(others)})" if others else ""
            raise HostError(name, f"does not answer: {down[name]}{more}; nothing was changed")
    return {name: state for name, state in states.items() if state.reachable}


def remember(environment: Environment, fleet: Fleet, reporter: Reporter) -> None:
    """Takes the new rows over into this laptop's index; without it `history` reads them later."""
    try:
        for sentence in index.refresh(environment, snapshot.read(fleet, [n for n in fleet.names if fleet.alive(n)])):
            reporter.told(sentence)
    except MainstayError as error:
        reporter.told(str(error))


def take_over(writer: Writer, found: OpenRun) -> None:
    """Goes on under the id of a run that was interrupted, once its hosts are through with what they were doing.

    Raises:
        HostError: a host is still at work on it.
    """
    assert found.meta is not None  # noqa: S101  check_resumable
    writer.meta = replace(writer.meta, run=found.run, reason=found.meta.reason, emergency=found.meta.emergency)
    writer.fleet.run_id = found.run
    writer.reporter.told(f"going on with {found}")
    for name, why in runs.settle(writer.fleet, found.hosts, found.run).failed.items():
        raise HostError(name, why)


def abort(environment: Environment, command: str, reporter: Reporter, stop: Stop, reason: str = "") -> RunResult:
    """Puts back every host of the environment's open runs, newest run first; nothing open is nothing to do.

    Args:
        reason: why what cannot be put back is accepted as it is: the run is closed then, and the ledger says so.

    Raises:
        LeaseError: somebody writes to the environment.
        HostError: no host answers.
    """
    result = RunResult(environment.system, "abort")
    started = time.monotonic()
    with Fleet(environment, list(environment.hosts)) as fleet:
        if not any(fleet.alive(name) for name in fleet.names):
            raise HostError(environment.name, f"no host answers: {next(iter(fleet.unreachable.values()), '')}")
        blank = meta_of(environment, "abort", "", command)
        with Writer(fleet, blank, reporter, stop) as writer:
            for found in runs.open_runs(read(fleet, [])):
                result.environments.append(_abort_one(writer, found, blank, reason))
            for name, why in fleet.unreachable.items():
                result.notes.append(f"{name} does not answer ({why}): what is open there stays open")
        remember(environment, fleet, reporter)
    result.seconds = time.monotonic() - started
    return result


def _abort_one(writer: Writer, found: OpenRun, blank: Meta, reason: str) -> EnvironmentResult:
    environment = writer.environment
    writer.meta = replace(blank, run=found.run, change=found.meta.change if found.meta else "")
    writer.fleet.run_id = found.run
    outcome = EnvironmentResult(environment.name, found.run, writer.meta.change, result=ledger.PUT_BACK)
    outcome.reason, outcome.unproven = reason or f"aborted by {blank.who}", environment.unproven
    writer.reporter.told(str(found))
    writer.reporter.begin(f"{environment.name} put back", found.to_put_back)
    started = time.monotonic()
    order = batches.of(environment, found.to_put_back)
    outcome.put_back = put_back_outside(writer, found.run)
    outcome.put_back += put_back(writer, [batch.hosts for batch in order if batch.hosts], outcome.reason)
    outcome.seconds = round(time.monotonic() - started, 1)
    if not all(entry.ok for entry in outcome.put_back):
        outcome.result = ledger.INCOMPLETE
    left = [entry.host for entry in outcome.put_back if not entry.ok]
    summary = f"incomplete on {', '.join(left)}" if left else "every host is as it was"
    writer.reporter.end(f"{environment.name} put back", outcome.seconds, summary)
    accepted = [name for name in left if reason and writer.fleet.alive(name)]
    for name, why in runs.mark(writer.fleet, accepted, found.run, snapshot.BACK).failed.items():
        writer.reporter.told(f"{name}: the run could not be closed: {why}")
    return outcome
