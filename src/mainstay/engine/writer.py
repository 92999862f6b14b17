"""One environment in the hands of one writer: connected, leased, with its run known to every host that it touches."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType

from mainstay import hostkit
from mainstay.engine import lease, ledger, runs, scripts, snapshot
from mainstay.engine.report import Reporter
from mainstay.engine.stop import Stop
from mainstay.errors import HostError, LeaseError
from mainstay.fleet import Fleet
from mainstay.inventory import Environment
from mainstay.inventory.operator import operator
from mainstay.outcome import HostOutcome

STOPPED = "stopped by the operator"
COME_BACK_S = 60.0


@dataclass(frozen=True)
class Work:
    """What a run applies and how it proves it; `components` narrows the verification, None is all of it."""

    deploy: Path
    components: list[str] | None = None
    budget: int = 0


@dataclass
class HostWork:
    """What a run did on one host, for its ledger row."""

    changed: list[str] = field(default_factory=list)
    passed: int = 0
    failed: int = 0
    irreversible: list[str] = field(default_factory=list)
    seconds: float = 0.0

    def take(self, outcome: HostOutcome, seconds: float) -> None:
        """Adds what an apply did."""
        self.seconds += seconds
        self.changed += [op.name for op in outcome.changes]


class Writer:
    """A context over a connected fleet: takes the lease on every reachable host, and gives it back."""

    def __init__(self, fleet: Fleet, meta: runs.Meta, reporter: Reporter, stop: Stop) -> None:
        self.fleet = fleet
        self.environment = fleet.environment
        self.meta = meta
        self.reporter = reporter
        self.stop = stop
        self.work: dict[str, HostWork] = {}
        holder = lease.holder_of(fleet, meta.who, meta.command, ledger.now())
        self.lease = lease.Lease(fleet, holder)
        fleet.run_id = meta.run
        fleet.halt = self._halt

    def __enter__(self) -> Writer:
        try:
            self.lease.take([name for name in self.fleet.names if self.fleet.alive(name)])
        except BaseException:
            self.lease.release()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.lease.release()

    def of(self, name: str) -> HostWork:
        """The work done on a host so far."""
        return self.work.setdefault(name, HostWork())

    def _halt(self, name: str) -> str:
        if self.stop.asked:
            return STOPPED
        if not self.lease.holds(name):
            return self.lease.lost.get(name, "the lease was lost")
        return ""

    def reconnect(self, names: Iterable[str]) -> None:
        """Waits, at most a minute, for hosts whose connection broke (a reboot takes seconds), and leases them again."""
        missing = [name for name in names if not self.fleet.alive(name)]
        deadline = time.monotonic() + COME_BACK_S
        while missing:
            self.fleet.connect(missing)
            missing = [name for name in missing if not self.fleet.alive(name)]
            if not missing or time.monotonic() > deadline:
                break
            time.sleep(2)
        for name in names:
            if self.fleet.alive(name) and not self.lease.holds(name):
                try:
                    self.lease.take([name])
                except (LeaseError, HostError) as error:
                    self.reporter.told(f"{name}: {error}")

    def record(self, names: Iterable[str], result: str, reason: str = "", *, adopt: bool = False) -> dict[str, str]:
        """Adds a row to the ledger of each host; returns the sentences of those that could not write theirs.

        Args:
            adopt: whole hosts were compared and verified: what plain pyinfra wrote there is this run's from now on.
        """
        states = snapshot.read(self.fleet, names)
        failed = {name: state.reason for name, state in states.items() if not state.reachable}
        if adopt:
            plain = [name for name, state in states.items() if state.plain]
            failed |= scripts.ask(self.fleet, plain, hostkit.inline("managed", "adopt", self.meta.run)).failed
        rows = {name: self._row(state, result, reason) for name, state in states.items() if name not in failed}

        def append(name: str) -> None:
            try:
                ledger.append(self.fleet, rows[name], states[name].ledger)
            except HostError as error:
                failed[name] = str(error)

        scripts.side_by_side(append, [name for name in rows if not self._recorded(states[name], result)])
        return failed

    def _recorded(self, state: snapshot.HostState, result: str) -> bool:
        """Whether this run's row is there already: a laptop that was killed wrote it and not more."""
        last, mine = state.ledger.last, (self.meta.run, result, self.meta.change)
        return last is not None and (last.run, last.result, last.change) == mine

    def _row(self, state: snapshot.HostState, result: str, reason: str) -> ledger.Row:
        work, host = self.of(state.host), self.environment.hosts[state.host]
        if result == ledger.VERIFIED:
            names = [service.name for service in self.environment.services_on(host)]
            releases = {n: self.environment.releases[n].version for n in names if n in self.environment.releases}
        else:
            releases = {name: release.current for name, release in state.releases.items()}
        kept = next((run.irreversible for run in state.runs if run.run == self.meta.run), ())
        return ledger.Row(
            when=ledger.now(),
            who=self.meta.who,
            machine=socket.gethostname(),
            run=self.meta.run,
            system=self.environment.system,
            env=self.environment.env,
            host=state.host,
            verb=self.meta.verb,
            result=result,
            change=self.meta.change,
            releases=releases,
            changed=work.changed,
            changes=len(work.changed),
            passed=work.passed,
            failed=work.failed,
            seconds=round(work.seconds, 1),
            reason=reason or self.meta.reason,
            emergency=self.meta.emergency,
            files=state.files,
            irreversible=list(kept),
        )


def meta_of(environment: Environment, verb: str, change: str, command: str, **more: str | bool) -> runs.Meta:
    """The meta of a new run of the operator who works at this laptop."""
    return runs.Meta(
        run=runs.new_id(),
        verb=verb,
        system=environment.system,
        env=environment.env,
        change=change,
        who=operator(environment),
        machine=socket.gethostname(),
        since=ledger.now(),
        command=command,
        releases={name: release.version for name, release in environment.releases.items()},
        reason=str(more.get("reason", "")),
        emergency=bool(more.get("emergency", False)),
    )
