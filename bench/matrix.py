"""What is measured: the cases, on how many hosts, over which line, how often; pure."""

from __future__ import annotations

from collections.abc import Sequence

from bench.cells import Series

_START = {"python": 5, "mainstay": 5, "pyinfra": 5, "floor": 5}
_PLAN = {
    "mainstay": 5,
    "pyinfra": 5,
    "floor": 5,
    "mainstay-open": 5,
    "pyinfra-open": 5,
    "floor-open": 5,
    "mainstay-first": 2,
}
_VERIFY = {"mainstay": 5, "testinfra": 5, "testinfra-open": 5, "mainstay-first": 2}
_APPLY = {"mainstay": 5, "mainstay-pass": 5, "pyinfra": 5}
_FIRST = {"mainstay": 3, "mainstay-pass": 3, "pyinfra": 3}
_TARGETS = {"mainstay": 5, "floor": 5, "pyinfra": 2}

# The most important first: who stops early has these.
FULL: tuple[Series, ...] = (
    Series("start", 1, 0, _START),
    Series("plan", 20, 40, _PLAN),
    Series("plan", 20, 0, _PLAN),
    Series("plan", 1, 0, _PLAN),
    Series("plan", 5, 0, _PLAN),
    Series("line", 20, 0, _APPLY),
    Series("noop", 20, 0, _APPLY),
    Series("first", 1, 0, _FIRST),
    Series("first", 5, 0, _FIRST),
    Series("verify", 1, 0, _VERIFY),
    Series("verify", 5, 0, _VERIFY),
    Series("targets", 20, 0, _TARGETS),
    Series("targets", 100, 0, _TARGETS),
    Series("targets", 200, 0, {**_TARGETS, "pyinfra": 1}),
    Series("verify", 20, 0, {**_VERIFY, "testinfra": 0}),
    Series("verify", 20, 40, _VERIFY),
)


def quick(series: Sequence[Series] = FULL) -> list[Series]:
    """The same with few runs, and without what takes long: under twenty minutes on two cores."""
    kept = [one for one in series if one.case != "verify" or one.hosts < 20]
    return [
        Series(one.case, one.hosts, one.rtt_ms, {name: min(runs, 2) for name, runs in one.runs.items()}) for one in kept
    ]


def only(series: Sequence[Series], case: str) -> list[Series]:
    """The series of one case; none where nothing has that name."""
    return [one for one in series if one.case == case]
