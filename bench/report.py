"""The page `docs/benchmarks.md`, from what was measured; pure but for `write`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import chain
from pathlib import Path

from bench import record, sittings
from bench.bars import BARS, outside_apt, start_of, values
from bench.cells import Row, Rows, Run
from bench.matrix import held_against
from bench.plot import drawing
from bench.statistics import Summary, shown, summary

CASES = {
    "start": "Start-up of Python",
    "plan": "Plan that finds nothing to do",
    "noop": "Apply that finds nothing to do",
    "line": "Apply of a one-line change",
    "first": "First apply, on hosts as an image leaves them",
    "verify": "Verification",
    "targets": "Plan on many targets (twenty hosts under ten ports each, see below)",
}
NAMES = {
    "mainstay": "Mainstay",
    "mainstay-first": "Mainstay, nothing remembered",
    "mainstay-kept": "Mainstay, connections kept from the command before",
    "mainstay-open": "Mainstay, connections open",
    "mainstay-pass": "Mainstay, the pass of changes alone",
    "pyinfra": "pyinfra",
    "pyinfra-open": "pyinfra, connections open",
    "floor": "floor",
    "floor-open": "floor, connections open",
    "testinfra": "testinfra over ssh",
    "testinfra-open": "testinfra over ssh, ControlPath",
    "ansible": "Ansible",
    "mitogen": "Ansible with mitogen",
    "python": "Python alone",
}
# What each contender's start-up is, where it is not its own.
_STARTS = {"mainstay-first": "mainstay", "mainstay-kept": "mainstay"}
_NO_START = ("-open",)


def page(rows: Rows, about: Sequence[str], method: str) -> str:
    """The whole page: the bars, the plot, a table for each case, and how it was measured."""
    parts = [
        "# Benchmarks",
        "",
        *about,
        "",
        *(sittings.legend(list(chain.from_iterable(rows.values()))) if rows else []),
        "",
        "## Bars",
        "",
        *_bars(rows),
        *limits(rows),
        "",
        *(["![Medians](benchmarks.svg)", ""] if any(row.case != "start" for row in rows) else []),
    ]
    for case, title in CASES.items():
        grounds = sorted({(row.rtt_ms, row.hosts) for row in rows if row.case == case})
        if grounds:
            parts += [f"## {title}", ""]
        for rtt_ms, hosts in grounds:
            parts += [*_table(rows, case, hosts, rtt_ms), ""]
    return "\n".join([*parts, method.strip(), ""])


def plot(rows: Rows) -> str:
    """The SVG: every plan and verification, and what changes something; empty where only starts were measured."""
    groups: dict[str, dict[str, Summary]] = {}
    for row in sorted(rows, key=lambda one: (one.case, one.rtt_ms, one.hosts)):
        if row.case != "start":
            title = f"{CASES[row.case]}, {_ground(row.case, row.hosts, row.rtt_ms)}"
            groups.setdefault(title, {})[_label(row.contender)] = summary(values(rows, row))
    if not groups:
        return ""
    return drawing(
        {title: dict(sorted(group.items(), key=lambda item: item[1].median)) for title, group in groups.items()}
    )


def write(rows: Rows, folder: Path, about: Sequence[str], method: str) -> None:
    """Writes the page, its plot, and every run with all that was counted of it."""
    record.write(folder / "benchmarks.json", rows)
    (folder / "benchmarks.svg").write_text(plot(rows))
    (folder / "benchmarks.md").write_text(page(rows, about, method))


def _bars(rows: Rows) -> list[str]:
    lines = ["| bar | wanted | measured | |", "|---|---|---|---|"]
    for bar in BARS:
        found, verdict = bar.verdict(rows)
        lines.append(f"| {bar.text} | {bar.expected} | {found} | {verdict} |")
    return lines


def busy(rows: Rows, row: Row) -> list[float]:
    """How much of the machine's processors each run used: at 1 it waits for them, and not for the network."""
    found = []
    for run in sittings.fullest(rows[row]):
        work = float(run["cpu"]) + float(run["hosts_cpu"]) * row.hosts + float(run["line_cpu"])
        found.append(work / float(run["whole_seconds"]) / float(run["cores"]))
    return found


def limits(rows: Rows) -> list[str]:
    """What the floor itself reaches, and how busy the processors are then: no tool that asks the same gets beyond."""
    lines = []
    for hosts, rtt_ms in sorted({(row.hosts, row.rtt_ms) for row in rows if row.case == "plan"}, reverse=True):
        times = {}
        for contender in ("floor", "mainstay"):
            found = (rows.get(Row("plan", each, hosts, rtt_ms), ()) for each in ("pyinfra", contender))
            factor = sittings.ratio(*found)
            if factor is not None:
                times[contender] = shown(factor)
        if len(times) == 2:
            part = f"{summary(busy(rows, Row('plan', 'pyinfra', hosts, rtt_ms))).median * 100:.0f} %"
            what = f"| {_ground('plan', hosts, rtt_ms)} | {times['floor']}x | {times['mainstay']}x | {part} |"
            lines.append(what)
    if not lines:
        return []
    head = "| plan | the floor against pyinfra | Mainstay against pyinfra | processors busy with pyinfra |"
    return ["", head, "|---|---|---|---|", *lines]


def _table(rows: Rows, case: str, hosts: int, rtt_ms: int) -> list[str]:
    if case == "start":
        return _starts(rows)
    found = [row for row in rows if (row.case, row.hosts, row.rtt_ms) == (case, hosts, rtt_ms)]
    found.sort(key=lambda row: list(NAMES).index(row.contender) if row.contender in NAMES else len(NAMES))
    without = "without apt" if case == "first" else "without start-up"
    titles = ["", "seconds, median (range)", without, "against Mainstay", "execs a host", "CPU s here"]
    titles += ["CPU s a host", "processors busy", "memory MB", "runs", "sitting"]
    head = [f"### {_ground(case, hosts, rtt_ms)}", "", f"| {' | '.join(titles)} |", "|---" * len(titles) + "|"]
    return [*head, *(_line(rows, row) for row in found), *_slow_line(rows, found)]


def _slow_line(rows: Rows, found: Sequence[Row]) -> list[str]:
    """What the slow line was, and what it cost; nothing where there was none."""
    trips = [trip for row in found for trip in values(rows, row, "round_trip_ms") if trip]
    if not trips:
        return []
    used = [one / whole for row in found for one, whole in _used(rows, row)]
    return [
        "",
        f"The slow line: a round trip of {summary(trips)} ms as TCP handshakes measure it; its carrier used "
        f"{summary(used).median * 100:.0f} % of one processor ({min(used) * 100:.0f}-{max(used) * 100:.0f} %).",
    ]


def _used(rows: Rows, row: Row) -> Iterable[tuple[float, float]]:
    return zip(values(rows, row, "line_cpu"), values(rows, row, "whole_seconds"), strict=True)


def _line(rows: Rows, row: Row) -> str:
    seconds = values(rows, row)
    open_one = row.contender.endswith(_NO_START)
    mine = rows.get(Row(row.case, held_against(row.case, row.contender), row.hosts, row.rtt_ms), ())
    factor = sittings.ratio(rows[row], mine)
    against = "-" if factor is None else f"{shown(factor)}x"
    numbers = [_median(rows, row, key) for key in ("sessions", "cpu", "hosts_cpu")]
    numbers.append(f"{summary(busy(rows, row)).median * 100:.0f} %")
    if row.case == "first":  # sshd writes sessions down once it is told to, which is in the middle of the run
        numbers[0] = "-"
    memory = f"{summary(values(rows, row, 'memory')).median / (1 << 20):.0f}"
    if open_one and row.case == "plan":  # what both rounds of it cost together says nothing of the second
        numbers = ["-", _cpu_of_second(rows, row), "-", "-"]
    name = NAMES.get(row.contender, row.contender)
    cells = [
        name,
        str(summary(seconds)),
        _without(rows, row),
        against,
        *numbers,
        memory,
        _of_all(rows[row]),
    ]
    return f"| {' | '.join([*cells, _sittings(rows, row)])} |"


def _without(rows: Rows, row: Row) -> str:
    """The time without what is no matter of the tool: start-up of Python, or the time inside apt."""
    runs = sittings.fullest(rows[row])
    middle = summary(values(rows, row)).median
    if row.case == "first":
        return shown(summary([outside_apt(run) for run in runs]).median)
    if row.contender.endswith(_NO_START):
        return shown(middle)
    start = start_of(rows, _STARTS.get(row.contender, row.contender), sittings.of(runs[0]))
    return shown(middle - start) if start else "-"


def _of_all(every: Sequence[Run]) -> str:
    """How many runs a line is of, and of how many its ratio is where other sittings add to it."""
    own = len(sittings.fullest(every))
    return str(own) if own == len(every) else f"{own} of {len(every)}"


def _sittings(rows: Rows, row: Row) -> str:
    """The sitting that a line is of, and behind it those whose runs are in its ratio too."""
    letters = sittings.letters(chain.from_iterable(rows.values()))
    own = letters[sittings.of(sittings.fullest(rows[row])[0])]
    return ", ".join([own, *sorted({letters[sittings.of(run)] for run in rows[row]} - {own})])


def _cpu_of_second(rows: Rows, row: Row) -> str:
    """Processor seconds here of the round with open connections, as its driver counted them."""
    found = [float(run["cpu_open"]) for run in sittings.fullest(rows[row]) if "cpu_open" in run]
    return shown(summary(found).median) if found else "-"


def _starts(rows: Rows) -> list[str]:
    lines = ["| | seconds, median (range) | CPU s | runs |", "|---|---|---|---|"]
    for row in sorted(row for row in rows if row.case == "start"):
        seconds, cpu = values(rows, row), _median(rows, row, "cpu")
        lines.append(
            f"| {NAMES.get(row.contender, row.contender)} | {summary(seconds)} | {cpu} | {_of_all(rows[row])} |"
        )
    return lines


def _median(rows: Rows, row: Row, key: str) -> str:
    return shown(summary(values(rows, row, key)).median)


def _ground(case: str, hosts: int, rtt_ms: int) -> str:
    one = "target" if case == "targets" else "host"
    return f"{hosts} {one}{'s' if hosts != 1 else ''}, {rtt_ms} ms"


def _label(contender: str) -> str:
    return contender
