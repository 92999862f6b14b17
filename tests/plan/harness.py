"""Operations against fixed facts: what would be sent to a host that is as the test says.

The host refuses facts that the test did not give, so a new question shows up in the tests that it concerns.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from pyinfra.context import ctx_host

from mainstay.inventory import Environment, Host
from mainstay.plan_notes import Note, notes_of

_runs = iter(range(1_000_000))


class Facts:
    """A host with these facts only: `facts` maps a fact's class to its value, or to what makes it of its arguments."""

    def __init__(self, environment: Environment, member: Host, facts: dict[type, Any], run: str | None) -> None:
        self.name = member.name
        self.print_prefix = f"{member.name}: "
        self.current_op_hash = f"op{next(_runs)}"
        self.executing_op_hash = None
        self.data = {"mainstay_environment": environment, "mainstay_host": member, "mainstay_run": run}
        self._facts = facts

    def get_fact(self, fact: type, *args: Any, **kwargs: Any) -> Any:
        """The given value."""
        assert fact in self._facts, f"the operation asks for {fact.__name__}, which this test does not give"
        value = self._facts[fact]
        return value(*args, **kwargs) if callable(value) else value

    def noop(self, description: str) -> None:
        """Nothing to do, said out loud."""


@dataclass
class Planned:
    """The commands as text, what each is sent on standard input, and what the plan would say."""

    commands: list[str] = field(default_factory=list)
    stdin: list[str] = field(default_factory=list)
    notes: list[Note] = field(default_factory=list)

    @property
    def said(self) -> str:
        """The notes as one text."""
        return "\n".join(f"{note.subject}: {note.text}" for note in self.notes)


@contextmanager
def on(environment: Environment, member: Host, facts: dict[type, Any], run: str | None = "r1") -> Iterator[Facts]:
    """pyinfra's current host is this one."""
    host = Facts(environment, member, facts, run)
    with ctx_host.use(host):
        yield host


def plan(
    operation: Callable[..., Any],
    *args: Any,
    environment: Environment,
    member: Host,
    facts: dict[type, Any],
    run: str | None = "r1",
    **kwargs: Any,
) -> Planned:
    """What the operation yields on such a host."""
    planned = Planned()
    with on(environment, member, facts, run) as host:
        for command in operation._inner(*args, **kwargs):
            planned.commands.append(str(command))
            planned.stdin.append(str(getattr(command, "connector_arguments", {}).get("_stdin", "")))
        planned.notes = notes_of(host.name, host.current_op_hash)
    return planned
