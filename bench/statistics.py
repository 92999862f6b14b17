"""Medians, spreads and ratios of what was measured; pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median


@dataclass(frozen=True)
class Summary:
    """Some runs of one thing, in the unit in which they came."""

    median: float
    least: float
    most: float
    runs: int

    def __str__(self) -> str:
        return f"{shown(self.median)} ({shown(self.least)}-{shown(self.most)})" if self.runs > 1 else shown(self.median)


def summary(values: Sequence[float]) -> Summary:
    """What came of these runs.

    Raises:
        ValueError: there were none.
    """
    if not values:
        raise ValueError("found no runs, expected at least one")
    return Summary(median(values), min(values), max(values), len(values))


def shown(value: float) -> str:
    """Three digits that count: 0.123, 1.23, 12.3, 123."""
    for limit, places in ((1, 3), (10, 2), (100, 1)):
        if abs(value) < limit:
            return f"{value:.{places}f}"
    return f"{value:.0f}"
