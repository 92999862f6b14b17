"""Sittings: what was measured between two starts of one machine; pure.

The whole takes longer than a machine may stand, and another machine, or the same one on another day, is faster or
slower. So results of several sittings stand side by side, and times are held against each other within one alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from statistics import median
from string import ascii_uppercase

from bench.cells import Run
from bench.statistics import shown, summary

Runs = Sequence[Run]
# What is compared of a run; None where its sitting does not say.
Value = Callable[[Run], float | None]


def of(run: Run) -> str:
    """The sitting that a run belongs to."""
    return str(run.get("sitting", ""))


def seconds(run: Run) -> float:
    """What a run took."""
    return float(run["seconds"])


def fullest(runs: Runs) -> list[Run]:
    """The runs of the sitting that has most of them; of two with as many, the later one's."""
    found = _by_sitting(runs)
    return max(found.values(), key=lambda own: (len(own), own[-1].get("at", 0))) if found else []


def ratio(slow: Runs, fast: Runs, *, value: Value = seconds, other: Value | None = None) -> float | None:
    """How many times more `slow` has of a value than `fast`: each run against the median of its own sitting, the median
    of these. None where no sitting has both.

    Args:
        other: the value of `fast`, where it is another one.
    """
    found = []
    of_fast = _by_sitting(fast)
    for sitting, runs in _by_sitting(slow).items():
        below = [one for run in of_fast.get(sitting, ()) if (one := (other or value)(run)) is not None]
        above = [one for run in runs if (one := value(run)) is not None]
        if below:
            middle = median(below)
            found += [one / middle if middle > 0 else float("inf") for one in above]
    return median(found) if found else None


def letters(every: Iterable[Run]) -> dict[str, str]:
    """A letter for each sitting, the oldest first."""
    found = _by_sitting(sorted(every, key=lambda run: int(run.get("at", 0))))
    return {sitting: ascii_uppercase[place % 26] * (place // 26 + 1) for place, sitting in enumerate(found)}


def legend(every: Sequence[Run]) -> list[str]:
    """A table that says when each sitting was, of which commits, and how fast its machine."""
    lines = ["| sitting | day | commits | ten million turns of a loop in Python |", "|---|---|---|---|"]
    by_sitting = _by_sitting(sorted(every, key=lambda run: int(run.get("at", 0))))
    for sitting, letter in letters(every).items():
        runs = by_sitting[sitting]
        day = datetime.fromtimestamp(int(runs[0].get("at", 0)), UTC).date().isoformat()
        commits = ", ".join(f"`{one}`" for one in dict.fromkeys(run["commit"] for run in runs if run.get("commit")))
        loops = [float(run["loop"]) for run in runs if run.get("loop")]
        speed = f"{shown(summary(loops).median)} s" if loops else "-"
        lines.append(f"| {letter} | {day} | {commits} | {speed} |")
    return lines


def _by_sitting(runs: Iterable[Run]) -> dict[str, list[Run]]:
    found: dict[str, list[Run]] = {}
    for run in runs:
        found.setdefault(of(run), []).append(run)
    return found
