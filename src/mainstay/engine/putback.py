"""Every host of a run back to what it was before, newest first, from the journal that the host itself keeps."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from mainstay import hostkit, outside
from mainstay.engine import ledger, runs, scripts, snapshot
from mainstay.engine.report import PutBack
from mainstay.engine.writer import Writer
from mainstay.errors import MainstayError

BACK_S = 900.0


def put_back(writer: Writer, groups: Sequence[Iterable[str]], reason: str) -> list[PutBack]:
    """Plays the run's journal back on each host, group after group, side by side within one.

    Args:
        groups: the batches in the order in which they were begun; they go back in the reverse order.
        reason: why, for the ledger.

    Returns:
        A result a host. A host that cannot be reached is named as left; its run stays open there.
    """
    results: list[PutBack] = []
    for each in reversed([list(group) for group in groups]):
        group = [name for name in each if name not in {result.host for result in results}]
        writer.reconnect(group)
        mine = [name for name in group if writer.fleet.alive(name) and writer.lease.holds(name)]
        for name in group:
            if name not in mine:
                why = writer.fleet.unreachable.get(name) or writer.lease.lost.get(name) or "not connected"
                results.append(PutBack(name, ok=False, left=[f"not put back: {why}"]))
        results += _group(writer, mine)
    done = [result.host for result in results if result.ok]
    if done:
        for name, why in writer.record(done, ledger.PUT_BACK, reason).items():
            writer.reporter.told(f"{name}: the ledger row is missing: {why}")
    partly = [result.host for result in results if not result.ok and writer.fleet.alive(result.host)]
    if partly:
        writer.record(partly, ledger.INCOMPLETE, reason)
    return results


def put_back_outside(writer: Writer, run: str) -> list[PutBack]:
    """Takes back what the run did outside of hosts, last first; a result for each thing that there is."""
    results: list[PutBack] = []
    for each in reversed(outside.of(writer.environment)):
        try:
            left = each.put_back(run)
        except MainstayError as error:
            left = [str(error)]
        results.append(PutBack(each.name, not left, left))
    return results


def _group(writer: Writer, names: list[str]) -> list[PutBack]:
    run = writer.meta.run
    # What the host still does for a connection that broke is finished, or has undone itself, before it is put back.
    settled = runs.settle(writer.fleet, names, run)
    command = f'({hostkit.inline("journal", "back", run, run=run)}\n) 2>&1; echo "status=$?"'
    answers = scripts.ask(writer.fleet, settled.said, command, timeout=BACK_S)
    states = snapshot.read(writer.fleet, answers.said)
    results = [PutBack(name, ok=False, left=[why]) for name, why in {**settled.failed, **answers.failed}.items()]
    for name, said in answers.said.items():
        lines = said.splitlines()
        left = [line.removeprefix("left: ") for line in lines if line.startswith(("left: ", "mainstay: "))]
        ok = bool(lines) and lines[-1] == "status=0"
        kept = next((entry.irreversible for entry in states[name].runs if entry.run == run), ())
        results.append(PutBack(name, ok, left if left or ok else lines[-4:-1], list(kept)))
    return results
