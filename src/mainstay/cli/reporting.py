"""How a run is told while it goes on, and its summary at the end."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import ExitStack

from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn

from mainstay.cli import output, progress
from mainstay.engine.report import EnvironmentResult, RunResult
from mainstay.engine.stop import Stop
from mainstay.secrets import mask

SHORT = 12  # characters of a change's digest that people read
NAMED = 3  # hosts that a plain line names with what they are at


class ConsoleReporter:
    """Steps with their times: a line a host that moves on a terminal, plain lines elsewhere."""

    def __init__(self) -> None:
        self._started = time.monotonic()
        self._stack = ExitStack()
        self._bars: Progress | None = None
        self._tasks: dict[str, TaskID] = {}
        self._at: dict[str, str] = {}

    def begin(self, step: str, hosts: list[str]) -> None:
        """Says what begins, and shows it as going on until `end`."""
        self.close()
        output.told(f"[{time.monotonic() - self._started:6.1f} s] {step}: {', '.join(hosts)}", style="bold")
        if not output.is_terminal():
            self._stack.enter_context(progress.working(step, self._at_work))
            return
        columns = (SpinnerColumn(), TextColumn("{task.fields[host]}"), TextColumn("{task.description}"))
        self._bars = self._stack.enter_context(
            Progress(*columns, TimeElapsedColumn(), console=Console(stderr=True), transient=True)
        )
        self._tasks = {host: self._bars.add_task("", host=host, total=None) for host in hosts}

    def end(self, step: str, seconds: float, summary: str) -> None:
        """Says what came of the step."""
        self.close()
        output.told(f"[{time.monotonic() - self._started:6.1f} s] {step}: {summary} ({seconds:.1f} s)")

    def told(self, text: str) -> None:
        """A line worth reading whatever happens."""
        if self._bars is not None:
            self._bars.console.print(mask(text), style="yellow", markup=False, highlight=False)
        else:
            output.told(text, style="yellow")

    def host_op(self, host: str, op: str, status: str) -> None:
        """Moves the host's line on; without a terminal a failure is told, and what takes long is named now and then."""
        if status == "start":
            self._at[host] = op
        else:
            self._at.pop(host, None)
        if self._bars is not None and host in self._tasks:
            self._bars.update(self._tasks[host], description=mask(op))
        elif status == "failed":
            output.told(f"  {host}: {op}: failed", style="red")

    def close(self) -> None:
        """Takes what moves off the screen; safe to call again."""
        self._stack.close()
        self._stack = ExitStack()
        self._bars = None
        self._tasks = {}
        self._at = {}

    def _at_work(self) -> str:
        """The hosts that an operation goes on at."""
        now = list(self._at.items())
        named = ", ".join(f"{host} ({op})" for host, op in now[:NAMED])
        return f"{named} and {len(now) - NAMED} more" if len(now) > NAMED else named


def carry_out(work: Callable[[ConsoleReporter, Stop], RunResult], *, as_json: bool) -> int:
    """Does the work of a run that Ctrl-C may stop, and shows what came of it; the command's exit code.

    The result is shown before Ctrl-C means again what it means elsewhere: one that comes when everything is done would
    else take the summary away and say 130.
    """
    reporter = ConsoleReporter()
    with Stop() as stop:
        try:
            result = work(reporter, stop)
        finally:
            reporter.close()
        if as_json:
            output.data(result.as_json())
        else:
            show(result)
        if stop.asked:
            output.told("nothing was left to stop")
    return 0 if result.ok else 1


def show(result: RunResult) -> None:
    """The summary of a run: a table of steps, then what failed, what was put back and what cannot be undone."""
    rows = []
    for environment in result.environments:
        rows += [_batch_row(environment, index) for index in range(len(environment.batches))]
    if rows:
        rows.append(["total", "", "", "", f"{result.seconds:.1f}"])
        output.table(f"{result.verb} {result.system}", ["step", "hosts", "changes", "checks", "seconds"], rows)
    for environment in result.environments:
        _show_environment(environment)
    for note in result.notes:
        output.line(note, style="yellow")


def _batch_row(environment: EnvironmentResult, index: int) -> list[str]:
    batch = environment.batches[index]
    checks = f"{batch.passed} ok" + (f", {batch.failed} failed" if batch.failed else "")
    step = f"{environment.environment.partition('/')[2]} {batch.role}"
    return [step, ", ".join(batch.hosts), str(batch.changes), checks, f"{batch.seconds:.1f}"]


def _show_environment(environment: EnvironmentResult) -> None:
    told = f"{environment.environment}: {environment.result}, run {environment.run}"
    told += f", change {environment.change[:SHORT]}" if environment.change else ""
    output.line(told, style="green" if environment.ok else "red")
    output.unproven(environment.unproven)
    for name, reason in environment.failures.items():
        output.line(f"  failed {name}: {reason}", style="red")
        for line in environment.logs.get(name, []):
            output.line(f"    {line}", style="dim")
    for name, texts in environment.pending.items():
        for text in texts:
            output.line(f"  pending {name}: {text}", style="yellow")
    for back in environment.put_back:
        output.line(f"  {'put back' if back.ok else 'NOT put back'} {back.host}", style="" if back.ok else "red")
        for left in back.left:
            output.line(f"    left: {left}", style="red")
        for kept in back.irreversible:
            output.line(f"    cannot be undone: {kept}", style="yellow")
