"""What came of an operation, of a host, of a fleet; the same shape for a plan and for an apply."""

from __future__ import annotations

from dataclasses import dataclass, field

from mainstay.plan_notes import Note

# How the host scripts begin a sentence of their own, and how one ends that only points to other lines.
KIT_SAYS = "mainstay: "
SEE_ABOVE = "see above for what is left"
LEFT = "left: "
MOST_LINES = 25


@dataclass
class OpOutcome:
    """One operation on one host. `changed` says "would change" in a plan and "did change" after an apply."""

    name: str
    changed: bool
    ok: bool = True
    notes: list[Note] = field(default_factory=list)
    output: str = ""


@dataclass
class HostOutcome:
    """One host: whether it was reached, what each operation did there, and why it failed, if it did.

    Attributes:
        questions: how many were asked about it.
        known: how many of them had been asked ahead, or before.
    """

    host: str
    reachable: bool = True
    error: str = ""
    ops: list[OpOutcome] = field(default_factory=list)
    questions: int = 0
    known: int = 0

    @property
    def ok(self) -> bool:
        """Reached, and nothing failed."""
        return self.reachable and not self.error and all(op.ok for op in self.ops)

    @property
    def changes(self) -> list[OpOutcome]:
        """The operations that change (or changed) something."""
        return [op for op in self.ops if op.changed]

    @property
    def remarks(self) -> list[OpOutcome]:
        """The operations that change nothing and still have something to say: what waits for a restart."""
        return [op for op in self.ops if op.ok and not op.changed and op.notes]

    @property
    def pending(self) -> list[str]:
        """What is wanted and waits, a sentence each."""
        return [f"{note.subject}: {note.text}" for op in self.ops for note in op.notes if op.ok and note.pending]

    @property
    def reason(self) -> str:
        """One sentence for why this host failed; empty where it did not."""
        if self.error:
            return self.error
        for op in self.ops:
            if not op.ok:
                told = [note.text for note in op.notes if note.subject == "error"]
                last = told[-1] if told else _last_lines(op.output)
                return f"{op.name}: {last}" if last else f"{op.name} failed"
        return ""

    @property
    def log(self) -> list[str]:
        """The last lines that the failing operation printed, less those that `reason` has: a unit's own log, say."""
        output = next((op.output for op in self.ops if not op.ok), "")
        known = self.reason
        lines = [line.rstrip() for line in output.splitlines() if line.strip() and not line.endswith(SEE_ABOVE)]
        return [line for line in lines if line.strip().removeprefix(KIT_SAYS) not in known][-MOST_LINES:]


@dataclass
class FleetOutcome:
    """Every host of one plan or apply, by name."""

    hosts: dict[str, HostOutcome]

    @property
    def ok(self) -> bool:
        """No host failed."""
        return all(outcome.ok for outcome in self.hosts.values())

    @property
    def failed(self) -> list[HostOutcome]:
        """The hosts that failed, in order."""
        return [outcome for outcome in self.hosts.values() if not outcome.ok]

    @property
    def changes(self) -> int:
        """How many operations change something, over all hosts."""
        return sum(len(outcome.changes) for outcome in self.hosts.values())


def _last_lines(output: str, count: int = 3) -> str:
    """What a failing command said, on one line: the host scripts' own sentences, else the end of what it printed."""
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    own = [line.removeprefix(KIT_SAYS) for line in lines if line.startswith(KIT_SAYS) and not line.endswith(SEE_ABOVE)]
    left = [line for line in lines if line.startswith(LEFT)]
    return " / ".join(own + left if own else lines[-count:])
