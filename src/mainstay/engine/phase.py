"""One environment, batch by batch: open the journal, apply, verify, record; or put everything back."""

from __future__ import annotations

import time
from collections.abc import Sequence

from mainstay import outside, verify
from mainstay.engine import ledger, runs
from mainstay.engine.batches import Batch, pause_before
from mainstay.engine.putback import put_back, put_back_outside
from mainstay.engine.report import BatchResult, EnvironmentResult
from mainstay.engine.runs import OpenRun
from mainstay.engine.snapshot import DONE, VERIFIED
from mainstay.engine.writer import Work, Writer
from mainstay.errors import HostError, Interrupted, MainstayError
from mainstay.outcome import FleetOutcome


class Phase:
    """The batches of one environment under one writer."""

    def __init__(self, writer: Writer, work: Work, batches: Sequence[Batch], found: OpenRun | None = None) -> None:
        """`found`: the same run as it stood when it was interrupted."""
        self.writer = writer
        self.work = work
        self.batches = batches
        self.verified = set(found.verified) if found else set()
        self.begun: list[list[str]] = [found.to_put_back] if found else []
        meta, environment = writer.meta, writer.environment
        self.result = EnvironmentResult(environment.name, meta.run, meta.change, unproven=environment.unproven)

    def run(self) -> EnvironmentResult:
        """Does every batch that is left.

        Raises:
            Interrupted: the operator stopped it; the run stays open, to go on with or to put back.
            LeaseError: no host is held any more; the run stays open.
        """
        started = time.monotonic()
        try:
            before: Batch | None = None
            for batch in self.batches:
                names = [name for name in batch.hosts if name not in self.verified]
                if names and before:
                    self._wait(pause_before(self.writer.environment, before, batch))
                if names and not self._one(Batch(batch.role, tuple(names))):
                    break
                before = batch
            else:
                if self._outside():
                    self._finish()
        finally:
            self.result.seconds = round(time.monotonic() - started, 1)
        return self.result

    def _wait(self, seconds: float) -> None:
        """Lets what was changed serve for a while, before the next service follows."""
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            self._check_stop()
            time.sleep(min(left, 1))

    def _one(self, batch: Batch) -> bool:
        """One batch; whether the rollout goes on."""
        self._check_stop()
        names = list(batch.hosts)
        step = f"{self.writer.environment.name} {batch.role}"
        result = BatchResult(batch.role, names)
        self.result.batches.append(result)
        self.writer.reporter.begin(step, names)
        started = time.monotonic()
        self.begun.append(names)
        verify.expect(self.writer.environment, names, self.work.components)
        failures = self._change(names, result)
        good = [name for name in names if name not in failures]
        failures |= self._prove(good, result)
        good = [name for name in good if name not in failures]
        failures |= self._record(good)
        result.failures = failures
        result.seconds = round(time.monotonic() - started, 1)
        summary = f"{result.changes} changes, {result.passed} checks passed" + (
            f", {len(failures)} hosts failed" if failures else ""
        )
        self.writer.reporter.end(step, result.seconds, summary)
        return self._within_budget(failures)

    def _change(self, names: list[str], result: BatchResult) -> dict[str, str]:
        """Opens the journal and applies; the hosts that failed, with their reasons."""
        failures = dict(runs.open_on(self.writer.fleet, names, self.writer.meta).failed)
        ready = [name for name in names if name not in failures]
        if not ready:
            return failures
        started = time.monotonic()
        outcome = self.writer.fleet.apply(self.work.deploy, self.writer.reporter, ready)
        self._check_stop()
        seconds = time.monotonic() - started
        for name, host in outcome.hosts.items():
            self.writer.of(name).take(host, seconds)
        result.changes = outcome.changes
        result.logs = {host.host: host.log for host in outcome.failed if host.log}
        result.pending = {host.host: host.pending for host in outcome.hosts.values() if host.pending}
        return failures | _reasons(outcome)

    def _prove(self, names: list[str], result: BatchResult) -> dict[str, str]:
        """Verifies; the hosts with a failed check, with the first one's reason."""
        if not names:
            return {}
        started = time.monotonic()
        try:
            outcome = verify.verify(self.writer.environment, names, self.work.components)
        except HostError as error:
            self._check_stop()
            return dict.fromkeys(names, str(error))
        self._check_stop()
        failures: dict[str, str] = {}
        for check in outcome.checks:
            name = check.host if check.host in names else names[0]
            host = self.writer.of(name)
            host.passed += check.ok
            host.failed += not check.ok
            if not check.ok:
                failures.setdefault(name, f"{check.component}: {check.check}: {check.reason}")
        for name in names:
            self.writer.of(name).seconds += time.monotonic() - started
        result.passed = sum(check.ok for check in outcome.checks)
        result.failed = len(outcome.checks) - result.passed
        return failures

    def _record(self, names: list[str]) -> dict[str, str]:
        """A row in each ledger, then the journal's mark: in this order, a killed laptop only repeats the mark."""
        failed = self.writer.record(names, ledger.VERIFIED, adopt=self.work.components is None)
        good = [name for name in names if name not in failed]
        failed |= runs.mark(self.writer.fleet, good, self.writer.meta.run, VERIFIED).failed
        self.verified |= set(good) - set(failed)
        return failed

    def _within_budget(self, failures: dict[str, str]) -> bool:
        """Puts back the hosts that failed, or everything where too many did; whether the rollout goes on."""
        if not failures:
            return True
        self.writer.lease.check()
        every = self.result.failures
        told = "; ".join(f"{name}: {reason}" for name, reason in failures.items())
        self.writer.reporter.told(f"failed: {told}")
        within = len(every) <= self.work.budget
        left = self._put_back([list(failures)] if within else self.begun, told)
        if not within:
            self._ended(left, told)
        return within

    def _put_back(self, groups: Sequence[Sequence[str]], told: str) -> list[str]:
        """Puts the groups' hosts back, those that are back already left out; what is not as it was."""
        back = {entry.host for entry in self.result.put_back if entry.ok}
        groups = [[name for name in group if name not in back] for group in groups]
        step = f"{self.writer.environment.name} put back"
        self.writer.reporter.begin(step, [name for group in groups for name in group])
        started = time.monotonic()
        self.result.put_back += put_back(self.writer, groups, told)
        left = [entry.host for entry in self.result.put_back if not entry.ok]
        summary = f"incomplete on {', '.join(left)}" if left else "every host is as it was"
        self.writer.reporter.end(step, time.monotonic() - started, summary)
        return left

    def _ended(self, left: list[str], told: str) -> None:
        """The run is over: everything is put back, but for what is left."""
        self.result.result = ledger.INCOMPLETE if left else ledger.PUT_BACK
        self.result.reason = told

    def _outside(self) -> bool:
        """What is on no host follows the hosts, which are all verified; whether the run may end."""
        for each in outside.of(self.writer.environment):
            lacking = [name for name in each.hosts if name not in self.verified]
            if lacking:
                self.writer.reporter.told(f"{each.name} stays as it is: {', '.join(lacking)} took no part in this run")
            elif not self._follow(each):
                return False
        return True

    def _follow(self, each: outside.Outside) -> bool:
        self._check_stop()
        step = f"{self.writer.environment.name} {each.name}"
        result = BatchResult(each.name, [])
        self.result.batches.append(result)
        self.writer.reporter.begin(step, [])
        started = time.monotonic()
        try:
            result.changes = each.apply(self.writer.meta.run)
            checks = each.verify()
            wrong = [f"{check}: {reason}" for check, reason in checks if reason]
            result.passed, result.failed = len(checks) - len(wrong), len(wrong)
        except MainstayError as error:
            wrong = [str(error)]
        result.failures = {each.name: wrong[0]} if wrong else {}
        result.seconds = round(time.monotonic() - started, 1)
        summary = wrong[0] if wrong else f"{result.changes} changes, {result.passed} checks passed"
        self.writer.reporter.end(step, result.seconds, summary)
        self._check_stop()
        # A rollback is for hosts that fail their users now: it does not wait for a store that does not answer.
        if not wrong or self.writer.meta.verb == "rollback":
            return True
        self.result.put_back += put_back_outside(self.writer, self.writer.meta.run)
        told = f"{each.name}: {wrong[0]}"
        self.writer.lease.check()
        self._ended(self._put_back(self.begun, told), told)
        return False

    def _finish(self) -> None:
        for name, why in runs.mark(self.writer.fleet, sorted(self.verified), self.writer.meta.run, DONE).failed.items():
            self.writer.reporter.told(f"{name}: the run could not be closed: {why}; rollout --resume closes it")
            self.result.batches[-1].failures[name] = why

    def _check_stop(self) -> None:
        """Raises what ends this run here, where something does."""
        self.writer.lease.check()
        if not self.writer.stop.asked:
            return
        environment, meta = self.writer.environment, self.writer.meta
        done = ", ".join(name for batch in self.batches for name in batch.hosts if name in self.verified) or "no host"
        if not any(self.begun):
            raise Interrupted(f"stopped before anything was changed on {environment.name}")
        ways = runs.ways_on(environment, meta.verb)
        raise Interrupted(f"stopped in run {meta.run} on {environment.name}: {done} verified; {ways}")


def _reasons(outcome: FleetOutcome) -> dict[str, str]:
    return {host.host: host.reason or "failed" for host in outcome.failed}
