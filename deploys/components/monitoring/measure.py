"""What one measurement is."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Measure:
    """One measurement.

    Attributes:
        name: as thresholds name it; the end is its unit.
        alert: the name of the alerts about it.
        says: what it is, in the words of an alert's summary.
        of: the labels that tell one of its series from another.
        expr: PromQL; no data where there is nothing to measure.
        metrics: what it is made of: who answers and does not say them is told of.
        job: what gives them.
        falls: whether less is worse.
        givers: services that give them, where not all do; they are looked for only where a rule is made of it.
    """

    name: str
    alert: str
    says: str
    of: tuple[str, ...]
    expr: str
    metrics: tuple[str, ...]
    job: str
    falls: bool = False
    givers: tuple[str, ...] = ()

    @property
    def recorded(self) -> str:
        """The series that holds it, for rules and consoles alike."""
        return f"mainstay:{self.name}"

    @property
    def unit(self) -> str:
        """As people write it after the number."""
        ends = {"_pct": " %", "_ms": " ms", "_per_s": "/s", "_per_min": "/min", "_s": " s"}
        return next(unit for end, unit in ends.items() if self.name.endswith(end))
