"""The bars that the bench is measured against, each computed within a sitting; pure."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from bench import sittings
from bench.cells import Row, Rows, Run
from bench.statistics import shown, summary

# What is found for a bar: a number, or None where its cells were not measured.
Found = Callable[[Rows], float | None]


@dataclass(frozen=True)
class Bar:
    """One bar.

    Attributes:
        text: what is compared.
        limit: the number that is to be reached.
        least: whether it is the least that is good enough, or the most.
    """

    text: str
    limit: float
    found: Found
    least: bool = True
    unit: str = "x"

    def verdict(self, rows: Rows) -> tuple[str, str]:
        """The number that was measured, and `met`, `not met` or `not measured`."""
        value = self.found(rows)
        if value is None:
            return "-", "not measured"
        met = value >= self.limit if self.least else value <= self.limit
        return f"{shown(value)}{self.unit}", "met" if met else "**not met**"

    @property
    def expected(self) -> str:
        """The limit as the report writes it."""
        return f"{'at least' if self.least else 'at most'} {self.limit:g}{self.unit}"


def values(rows: Rows, row: Row, key: str = "seconds") -> list[float]:
    """One measurement of a row's runs, of the sitting that has most of them; empty where there are none."""
    return [float(run[key]) for run in sittings.fullest(rows.get(row, ()))]


def times(case: str, slow: str, fast: str, hosts: int, rtt_ms: int) -> Found:
    """How many times longer `slow` takes than `fast`."""

    def found(rows: Rows) -> float | None:
        return sittings.ratio(*(rows.get(Row(case, name, hosts, rtt_ms), ()) for name in (slow, fast)))

    return found


def start_of(rows: Rows, contender: str, sitting: str) -> float | None:
    """Median seconds of a contender's start-up in a sitting; None where that was not measured."""
    runs = rows.get(Row("start", contender, 1, 0), ())
    found = [sittings.seconds(run) for run in runs if sittings.of(run) == sitting]
    return summary(found).median if found else None


def over_floor(hosts: int, rtt_ms: int) -> Found:
    """A plan with cold connections against the floor, start-up left out on both sides."""

    def found(rows: Rows) -> float | None:
        def without_start(contender: str) -> sittings.Value:
            def value(run: Run) -> float | None:
                start = start_of(rows, contender, sittings.of(run))
                return None if start is None else sittings.seconds(run) - start

            return value

        mine, floor = (rows.get(Row("plan", name, hosts, rtt_ms), ()) for name in ("mainstay", "floor"))
        return sittings.ratio(mine, floor, value=without_start("mainstay"), other=without_start("floor"))

    return found


def outside_apt(run: Run) -> float:
    """Seconds of a run without those that its slowest host spent inside dpkg."""
    return float(run["seconds"]) - float(run["in_apt"])


def times_outside_apt(slow: str, fast: str, hosts: int) -> Found:
    """As `times`, for a first apply, with the time inside apt taken out on both sides."""

    def found(rows: Rows) -> float | None:
        return sittings.ratio(*(rows.get(Row("first", name, hosts, 0), ()) for name in (slow, fast)), value=outside_apt)

    return found


def most(key: str, row: Row, divide: float = 1) -> Found:
    """The median of another measurement."""

    def found(rows: Rows) -> float | None:
        measured = values(rows, row, key)
        return summary(measured).median / divide if measured else None

    return found


def growth(case: str, contender: str, many: int, few: int) -> Found:
    """Time a host at `many` hosts against that at `few`."""

    def found(rows: Rows) -> float | None:
        of, to = (rows.get(Row(case, contender, count, 0), ()) for count in (many, few))
        return sittings.ratio(
            of, to, value=lambda run: sittings.seconds(run) / many, other=lambda run: sittings.seconds(run) / few
        )

    return found


# Against what Ansible is held in a first apply: the whole command, with its verification, which Ansible has not.
WHOLE = "mainstay"

BARS: tuple[Bar, ...] = (
    Bar("plan, 20 hosts, 40 ms: plain pyinfra, cold connections", 10, times("plan", "pyinfra", "mainstay", 20, 40)),
    Bar(
        "plan, 20 hosts, 40 ms: plain pyinfra, connections kept open",
        15,
        times("plan", "pyinfra-open", "mainstay-open", 20, 40),
    ),
    Bar("plan, 20 hosts, 40 ms: Ansible", 40, times("plan", "ansible", "mainstay", 20, 40)),
    Bar(
        "plan, 20 hosts, 40 ms: execs a host",
        1,
        most("sessions", Row("plan", "mainstay", 20, 40)),
        least=False,
        unit="",
    ),
    Bar("plan, 20 hosts, 40 ms: against the floor, cold", 2, over_floor(20, 40), least=False),
    Bar(
        "plan, 20 hosts, 40 ms: against the floor, open",
        1.5,
        times("plan", "mainstay-open", "floor-open", 20, 40),
        least=False,
    ),
    Bar("plan, 20 hosts, 0 ms: against the floor, cold", 2, over_floor(20, 0), least=False),
    Bar(
        "plan, 20 hosts, 0 ms: against the floor, open",
        1.5,
        times("plan", "mainstay-open", "floor-open", 20, 0),
        least=False,
    ),
    Bar("plan, 20 hosts, 0 ms: plain pyinfra, cold connections", 4, times("plan", "pyinfra", "mainstay", 20, 0)),
    Bar(
        "plan, 20 hosts, 0 ms: plain pyinfra, connections kept open",
        8,
        times("plan", "pyinfra-open", "mainstay-open", 20, 0),
    ),
    # The faster of testinfra's two ways; without ControlPath it logs in anew for each command.
    Bar(
        "verify, 20 hosts, 40 ms: plain testinfra over ssh with ControlPath",
        10,
        times("verify", "testinfra-open", "mainstay", 20, 40),
    ),
    Bar(
        "one-line change, 20 hosts: plain pyinfra against the pass of changes",
        5,
        times("line", "pyinfra", "mainstay-pass", 20, 0),
    ),
    Bar(
        "one-line change, 20 hosts: plain pyinfra against `mainstay apply`, lease, journal and verification included",
        5,
        times("line", "pyinfra", "mainstay", 20, 0),
    ),
    Bar("first apply, 1 host: plain pyinfra", 1, times("first", "pyinfra", "mainstay-pass", 1, 0)),
    Bar("first apply, 5 hosts: plain pyinfra", 1, times("first", "pyinfra", "mainstay-pass", 5, 0)),
    *(
        Bar(f"first apply, {hosts}: Ansible, time inside apt taken out", 3, times_outside_apt("ansible", WHOLE, count))
        for count, hosts in ((1, "1 host"), (5, "5 hosts"))
    ),
    *(
        Bar(f"first apply, {hosts}: Ansible, time inside apt left in", 1, times("first", "ansible", WHOLE, count, 0))
        for count, hosts in ((1, "1 host"), (5, "5 hosts"))
    ),
    Bar("plan: time a target at 200 against 20", 1, growth("targets", "mainstay", 200, 20), least=False),
    Bar(
        "plan, 200 targets: memory at the peak",
        600,
        most("memory", Row("targets", "mainstay", 200, 0), 1 << 20),
        least=False,
        unit=" MB",
    ),
)
