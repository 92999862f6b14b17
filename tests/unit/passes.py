"""`python -m tests.unit.passes`: random deploys over hosts of this machine, with and without what is known of them.

Each host is a folder, and its shell a process here. A process of its own, because pyinfra patches the standard library
that pytest lives on.
"""

from __future__ import annotations

import pyinfra_cli  # noqa: F401  first: it brings pyinfra's patches

# isort: split
import shlex
import shutil
import sys
import tempfile
from collections.abc import Generator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from pyinfra.api import FactBase, operation
from pyinfra.api.state import StateStage
from pyinfra.context import host

from mainstay import fleet_pass
from mainstay.fleet_pass import Pass
from mainstay.outcome import FleetOutcome, HostOutcome
from mainstay.transport.knowledge import Knowledge
from mainstay.transport.shell import Question, Shell, result
from mainstay.transport.streams import Program

NAMES = ("one", "two")
FILES = 4
DEPLOY = "import __main__\n__main__.declare()\n"


@dataclass(frozen=True)
class Step:
    """An operation: what it reads, which files it brings to what it read, and whether it fails before it writes.

    `looks`: it reads what it has just written, and the next file depends on that.
    """

    reads: tuple[int, ...]
    writes: tuple[int, ...]
    fails: bool
    looks: bool


STEPS = st.lists(
    st.builds(
        Step,
        st.lists(st.integers(0, FILES), max_size=2).map(tuple),
        st.lists(st.integers(0, FILES - 1), max_size=3).map(tuple),
        st.sampled_from([False] * 9 + [True]),
        st.booleans(),
    ),
    min_size=1,
    max_size=6,
)
_now: dict[str, Any] = {}


class Text(FactBase[str]):
    """What a file holds."""

    def command(self, path: str) -> str:  # type: ignore[override]
        return f"cat {shlex.quote(path)} 2>/dev/null || echo none"


@operation()
def brought(number: int, step: Step, folder: str) -> Generator[str, None, None]:
    """Reads, writes what differs, and reads between its writes."""
    seen = "".join(host.get_fact(Text, path=f"{folder}/{name}") for name in step.reads)
    for name in step.writes:
        wanted = f"{number}{seen}"[:40]
        if host.get_fact(Text, path=f"{folder}/{name}") != wanted:
            if step.fails:
                yield "echo fails; exit 3"
            yield f"printf '%s\\n' {shlex.quote(wanted)} > {shlex.quote(f'{folder}/{name}')}"
            yield f"printf '%s\\n' {shlex.quote(wanted)} >> {shlex.quote(f'{folder}/log')}"
        if step.looks:
            seen += host.get_fact(Text, path=f"{folder}/{name}")


def declare() -> None:
    """The deploy, on pyinfra's current host."""
    for number, step in enumerate(host.loop(_now["steps"])):
        brought(number, step, f"{_now['folder']}/{host.name}", name=f"step {number}")


def run(shells: dict[str, Shell], remembered: list[Question] | None, deploy: Path, *, execute: bool) -> Any:
    """One pass: what came of it, what hosts were asked. Without `remembered`, all goes one by one, as in pyinfra."""
    state = fleet_pass.state_over([(f"@mainstay/{name}", {"_sudo": True}) for name in shells])
    for one in state.inventory:
        one.connector.shell = shells[one.name]
        one.connector.knowledge = None if remembered is None else Knowledge(shells[one.name], remembered)
        one.connected = True
        state.activate_host(one)
    state.set_stage(StateStage.Connect)
    outcome = FleetOutcome({name: HostOutcome(name) for name in shells})
    fleet_pass.SIDE_BY_SIDE = 1 if remembered is None else 24
    one_pass = Pass(state, outcome, None, lambda _: "")
    alone = mock.patch.object(fleet_pass.Load, "takes", return_value=False)  # each command sent as pyinfra does
    with alone if remembered is None else nullcontext():
        one_pass.prepare(deploy)
        if execute:
            one_pass.execute(None)
        else:
            one_pass.decide()
    one_pass.collect(executed=execute)
    asked = [list(one.connector.knowledge.asked) for one in state.inventory] if remembered is not None else []
    return {
        name: (one.error, [(op.name, op.changed, op.ok) for op in one.ops]) for name, one in outcome.hosts.items()
    }, asked


def shells_here(names: Sequence[str]) -> dict[str, Shell]:
    """A shell of this machine for each host."""
    return {name: Shell(lambda command: Program(["sh", "-c", command]), sudo="") for name in names}


def applied(folder: Path, *names: str) -> None:
    """One apply of what `__main__` declares, on hosts of these names of which nothing is remembered."""
    deploy = folder / "deploy.py"
    deploy.write_text(DEPLOY)
    run(shells_here(names), [], deploy, execute=True)


def files(folder: Path) -> dict[str, str]:
    """Every file's text."""
    return {str(path.relative_to(folder)): path.read_text() for path in sorted(folder.rglob("*")) if path.is_file()}


def main() -> None:
    """Raises where a pass that knows something differs from one that does not."""
    folder = Path(tempfile.mkdtemp(prefix="mainstay-passes-"))
    deploy = folder / "deploy.py"
    deploy.write_text(DEPLOY)
    shells = shells_here(NAMES)
    junk = [Question("echo nobody asked"), Question(f"cat {folder}/hosts/one/0 2>/dev/null || echo none")]

    @given(
        steps=STEPS,
        before=st.dictionaries(st.integers(0, FILES - 1), st.sampled_from(["0", "00", "x"])),
        data=st.data(),
    )
    # Not made smaller where it fails: an example takes a second, and is small.
    @settings(max_examples=int(sys.argv[1]), deadline=None, phases=[Phase.generate])
    def same(steps: list[Step], before: dict[int, str], data: st.DataObject) -> None:
        def fresh() -> None:
            shutil.rmtree(folder / "hosts", ignore_errors=True)
            for name in NAMES:
                (folder / "hosts" / name).mkdir(parents=True)
                for number, text in before.items():
                    (folder / "hosts" / name / str(number)).write_text(f"{text}\n")

        _now.update(steps=steps, folder=folder / "hosts")
        fresh()
        plan, _ = run(shells, None, deploy, execute=False)
        applied, _ = run(shells, None, deploy, execute=True)
        left = files(folder / "hosts")
        fresh()
        cold, asked = run(shells, [], deploy, execute=False)
        questions = [question for of_host in asked for question in of_host] + junk
        remembered = data.draw(st.lists(st.sampled_from(questions), unique=True))
        warm, _ = run(shells, remembered, deploy, execute=False)
        assert not any(error for error, _ in plan.values()), plan
        assert plan == cold == warm, (plan, cold, warm)
        assert files(folder / "hosts") == {
            f"{n}/{k}": f"{v}\n" for n in sorted(NAMES) for k, v in sorted(before.items())
        }
        assert applied == run(shells, remembered, deploy, execute=True)[0]
        assert files(folder / "hosts") == left

    same()
    for shell in shells.values():
        result(shell.ask("true"), 10)
        shell.close()
    shutil.rmtree(folder)


if __name__ == "__main__":
    main()
