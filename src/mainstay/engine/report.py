"""What came of a run: batches, failures, what was put back; a table, or `docs/json/rollout.schema.json`."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any, Protocol


class Reporter(Protocol):
    """Told what the engine does while it does it."""

    def begin(self, step: str, hosts: list[str]) -> None:
        """A step begins on these hosts."""

    def end(self, step: str, seconds: float, summary: str) -> None:
        """The step ended."""

    def told(self, text: str) -> None:
        """A line worth reading whatever happens."""

    def host_op(self, host: str, op: str, status: str) -> None:
        """`status` is `start`, `ok` or `failed`."""


@dataclass
class BatchResult:
    """One batch: what changed, what was checked, what failed (host name to reason); `seconds` of wall time.

    `logs`: by host that failed, the last lines of what the failing step printed. They stay out of the ledger.
    `pending`: by host, what is wanted and waits for leave.
    """

    role: str
    hosts: list[str]
    changes: int = 0
    passed: int = 0
    failed: int = 0
    seconds: float = 0.0
    failures: dict[str, str] = field(default_factory=dict)
    logs: dict[str, list[str]] = field(default_factory=dict)
    pending: dict[str, list[str]] = field(default_factory=dict)


@dataclass
class PutBack:
    """One host after its put-back: what is left as it should not be, and what cannot be undone at all."""

    host: str
    ok: bool
    left: list[str] = field(default_factory=list)
    irreversible: list[str] = field(default_factory=list)


@dataclass
class EnvironmentResult:
    """One environment of a run. `result` is a ledger result, `reason` one sentence where it is not `verified`.

    `unproven`: what the lab cannot prove, and the hosts that it is about.
    """

    environment: str
    run: str
    change: str
    result: str = "verified"
    reason: str = ""
    batches: list[BatchResult] = field(default_factory=list)
    put_back: list[PutBack] = field(default_factory=list)
    seconds: float = 0.0
    unproven: dict[str, list[str]] = field(default_factory=dict)

    @property
    def failures(self) -> dict[str, str]:
        """Every host that failed, with its reason."""
        return {name: reason for batch in self.batches for name, reason in batch.failures.items()}

    @property
    def logs(self) -> dict[str, list[str]]:
        """What the failing steps printed last, by host."""
        return {name: lines for batch in self.batches for name, lines in batch.logs.items()}

    @property
    def pending(self) -> dict[str, list[str]]:
        """What is wanted and waits for leave, by host."""
        return {name: texts for batch in self.batches for name, texts in batch.pending.items()}

    @property
    def ok(self) -> bool:
        """Verified, and nothing failed within the budget either."""
        return self.result == "verified" and not self.failures

    @property
    def hosts_ok(self) -> bool:
        """The same, as far as hosts go."""
        return self.result == "verified" and not any(batch.failures for batch in self.batches if batch.hosts)


@dataclass
class RunResult:
    """A whole command."""

    system: str
    verb: str
    environments: list[EnvironmentResult] = field(default_factory=list)
    seconds: float = 0.0
    notes: list[str] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        """Everything that was asked for was done: verified, or put back where that was asked for."""
        if self.verb == "abort":
            return all(environment.result == "put back" for environment in self.environments)
        return all(environment.ok for environment in self.environments)

    def as_json(self) -> dict[str, Any]:
        """The shape of `docs/json/rollout.schema.json`."""
        return {
            "system": self.system,
            "verb": self.verb,
            "ok": self.ok,
            "seconds": round(self.seconds, 1),
            "environments": [asdict(environment) for environment in self.environments],
            "notes": self.notes,
        }
