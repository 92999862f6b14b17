"""What is measured: the cases, on how many hosts, over which line, how often; pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from bench.cells import Row, Rows, Series

# They take minutes: three runs, and few of them in a quick bench.
RIVALS = {"ansible": 3, "mitogen": 3}
_START = {"python": 5, "mainstay": 5, "pyinfra": 5, "floor": 5}
_PLAN = {
    "mainstay": 5,
    "pyinfra": 5,
    "floor": 5,
    "mainstay-kept": 5,
    "mainstay-open": 5,
    "pyinfra-open": 5,
    "floor-open": 5,
    "mainstay-first": 5,
    **RIVALS,
}
_VERIFY = {"mainstay": 5, "mainstay-kept": 5, "testinfra": 5, "testinfra-open": 5, "mainstay-first": 5}
_APPLY = {"mainstay": 5, "mainstay-pass": 5, "pyinfra": 5, **RIVALS}
# Without ControlPath, which is testinfra's default, it is measured on one host: the other is the faster one far away.
_VERIFY_MANY = {**_VERIFY, "testinfra": 0}
_FIRST = {"mainstay": 3, "mainstay-pass": 3, "pyinfra": 3, **RIVALS}
_TARGETS = {"mainstay": 5, "floor": 5, "pyinfra": 5}

# The most important first: who stops early has these.
FULL: tuple[Series, ...] = (
    Series("start", 1, 0, _START),
    Series("plan", 20, 40, _PLAN),
    # On one and five hosts the machine's processors are not what is waited for.
    Series("plan", 1, 40, _PLAN),
    Series("plan", 5, 40, _PLAN),
    Series("plan", 20, 0, _PLAN),
    Series("plan", 1, 0, _PLAN),
    Series("plan", 5, 0, _PLAN),
    Series("line", 20, 0, _APPLY),
    Series("noop", 20, 0, _APPLY),
    Series("first", 1, 0, _FIRST),
    Series("first", 5, 0, _FIRST),
    Series("verify", 1, 0, _VERIFY),
    Series("verify", 5, 0, _VERIFY_MANY),
    Series("targets", 20, 0, _TARGETS),
    Series("targets", 100, 0, _TARGETS),
    Series("targets", 200, 0, _TARGETS),
    Series("verify", 20, 0, _VERIFY_MANY),
    Series("verify", 20, 40, _VERIFY_MANY),
)

# Which of Mainstay's runs a contender is held against, where it is not the command itself.
_AGAINST = {"pyinfra-open": "mainstay-open", "floor-open": "mainstay-open"}
# Who is held against the pass of changes alone; Ansible in a first apply, as its bars have it, against all of it.
_PASSES = {"first": {"pyinfra"}, "line": {"pyinfra", *RIVALS}, "noop": {"pyinfra", *RIVALS}}


def held_against(case: str, contender: str) -> str:
    """Which of Mainstay's runs a contender's are held against."""
    return "mainstay-pass" if contender in _PASSES.get(case, ()) else _AGAINST.get(contender, "mainstay")


def missing(series: Sequence[Series], recorded: Rows) -> list[Series]:
    """The same with the runs that are not on record yet; what is complete is left out.

    Times are compared within a sitting, so what a missing run is held against runs at least once beside it, and the
    starts of Python, which are taken off, are measured anew.
    """
    found = [one for one in (_lacking(each, recorded) for each in series) if one.runs]
    timed = [one for one in found if one.case != "start"]
    return [one for one in series if one.case == "start"] + timed if timed else found


def _lacking(series: Series, recorded: Rows) -> Series:
    def on_record(name: str) -> int:
        return len(recorded.get(Row(series.case, name, series.hosts, series.rtt_ms), ()))

    lacking = {name: runs - on_record(name) for name, runs in series.runs.items() if runs > on_record(name)}
    beside = {held_against(series.case, name): 1 for name in lacking} if series.case != "start" else {}
    runs = {**beside, **lacking}
    return replace(series, runs={name: runs[name] for name in series.runs if name in runs})


def quick(series: Sequence[Series] = FULL) -> list[Series]:
    """The same with two runs, on at most five hosts, and what takes long on one: under twenty minutes on two cores."""
    small = {"plan": 5, "start": 1, "line": 1, "noop": 1, "verify": 1, "first": 1}
    kept = [one for one in series if one.hosts <= small.get(one.case, 0)]
    return [replace(one, runs=_few(one)) for one in kept]


def _few(series: Series) -> dict[str, int]:
    """Two runs; of those that take minutes one, and that on a single host that is far away."""
    slow = dict.fromkeys(RIVALS, 1 if (series.case, series.hosts, series.rtt_ms) == ("plan", 1, 40) else 0)
    return {name: slow.get(name, min(runs, 2)) for name, runs in series.runs.items()}


def hosts_of(series: Sequence[Series], most: int) -> int:
    """How many hosts have to stand for these series: first applies bring their own, targets need them all."""
    needed = [most if one.case == "targets" else one.hosts for one in series if one.case != "first"]
    return max(needed, default=0)


def at_most(series: Sequence[Series], runs: int) -> list[Series]:
    """The same with no more than so many runs of each: the whole picture first, its spread in later runs."""
    return [replace(one, runs={name: min(runs, own) for name, own in one.runs.items()}) for one in series]


def only(series: Sequence[Series], case: str) -> list[Series]:
    """The series of one case; none where nothing has that name."""
    return [one for one in series if one.case == case]


def without(series: Sequence[Series], contenders: Sequence[str]) -> list[Series]:
    """The same without some contenders: those that take minutes can be measured when there is time."""

    def left(one: Series) -> dict[str, int]:
        return {name: runs for name, runs in one.runs.items() if name not in contenders}

    return [replace(one, runs=left(one)) for one in series]
