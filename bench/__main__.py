"""`python -m bench`: measures what is left, then writes the report; `bin/bench --help` says how."""

from __future__ import annotations

import argparse
import os
import platform
import sys
from dataclasses import replace
from pathlib import Path

from bench import ground, hosts, matrix, meter, record, report, targets
from bench.cells import Rows, Series, Store
from bench.contenders import CONTENDERS
from bench.errors import BenchError
from bench.ground import HOME, ROOT
from bench.measure import Bench, warm
from mainstay.errors import MainstayError

RESULTS = HOME / "results"
METHOD = Path(__file__).parent / "method.md"


def main() -> int:
    """The command; its exit code."""
    options = _options()
    try:
        if options.clean:
            meter.clear()
            return 0
        return _bench(options)
    except (BenchError, MainstayError) as error:
        print(f"mainstay: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("mainstay: interrupted; what was measured is kept, bin/bench goes on from here", file=sys.stderr)
        return 130


def _bench(options: argparse.Namespace) -> int:
    store = Store(RESULTS)
    if options.fresh:
        store.forget()
    recorded = record.read(ROOT / "docs" / "benchmarks.json")
    if not options.report:
        left = _measure(_chosen(options, record.elsewhere(recorded, store.rows())), store, options.minutes * 60)
        if left:
            say(f"{left} cells are left; the same command goes on with them")
            return 0
    rows = record.joined(recorded, store.rows())
    report.write(rows, ROOT / "docs", _about(rows), METHOD.read_text())
    say("written: docs/benchmarks.md, its plot, and every run in docs/benchmarks.json")
    return 0


def _chosen(options: argparse.Namespace, elsewhere: Rows) -> list[Series]:
    """The series that the options ask for.

    Raises:
        BenchError: there are none.
    """
    series = matrix.quick() if options.quick else list(matrix.FULL)
    if options.only:
        series = matrix.only(series, options.only)
    if options.hosts is not None:
        series = [one for one in series if one.hosts == options.hosts]
    if options.rtt is not None:
        series = [one for one in series if one.rtt_ms == options.rtt]
    if not series:
        there = ", ".join(f"{one.case} on {one.hosts} over {one.rtt_ms} ms" for one in matrix.FULL)
        raise BenchError(f"found nothing that is measured so, expected one of: {there}")
    series = matrix.without(series, options.without)
    if options.missing:
        series = matrix.missing(series, elsewhere)
    return matrix.at_most(series, options.runs) if options.runs else series


def _measure(series: list[Series], store: Store, seconds: float) -> int:
    """Measures until all is done or the time is over; the number of cells that are left."""
    if not store.left(series):
        return 0
    needed = matrix.hosts_of(series, ground.HOSTS)
    # A verification looks at every host that the inventory names: it names those that stand, and no others.
    whole = ground.prepare(count=max(needed, hosts.standing(ground.LAB)))
    place = replace(whole, names=whole.names[:needed])
    if place.names:
        say(f"{len(place.names)} host{'s' if len(place.names) > 1 else ''} in the lab {place.lab!r}")
        hosts.converge(place, say)
    for one in series:
        cells = store.left([one])
        if not cells:
            continue
        on = targets.many() if one.case == "targets" else place
        warm(on, cells)
        left = Bench(on, store, say).run(cells, seconds - _spent())
        if left:
            return len(store.left(series))
    return 0


def _about(rows: Rows) -> list[str]:
    if not rows:
        raise BenchError("found no results, expected some in artefacts/bench: bin/bench measures them")
    few = any(len(runs) < 3 for runs in rows.values())
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") >> 30
    machine = f"{os.cpu_count()} cores and {memory} GB, Linux {platform.release()}, Python {platform.python_version()}"
    return [
        f"Written by `bin/bench`. Controller and hosts share one machine: {machine}.",
        *(["**A first look**: some rows have fewer than three runs, and no spread."] if few else []),
    ]


_STARTED = os.times().elapsed


def _spent() -> float:
    return os.times().elapsed - _STARTED


def say(line: str) -> None:
    """A line for whoever waits."""
    print(line, flush=True)


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"found {text}, expected 1 or more")
    return int(text)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="bin/bench")
    parser.add_argument("--quick", action="store_true", help="few runs, and not the cases that take long")
    parser.add_argument("--only", metavar="CASE", choices=list(CONTENDERS), help=f"one of {', '.join(CONTENDERS)}")
    parser.add_argument("--hosts", type=int, metavar="N", help="only what is measured on N hosts")
    parser.add_argument("--rtt", type=int, metavar="MS", help="only what is measured over a round trip of MS: 0 or 40")
    parser.add_argument("--runs", type=_count, metavar="N", help="no more than N runs of each; later ones add to them")
    parser.add_argument("--missing", action="store_true", help="only the runs that docs/benchmarks.json lacks")
    everybody = sorted({name for case in CONTENDERS.values() for name in case})
    parser.add_argument(
        "--without", metavar="NAME", action="append", default=[], choices=everybody, help="a contender to leave out"
    )
    parser.add_argument("--fresh", action="store_true", help="forget what was measured")
    parser.add_argument("--minutes", type=float, default=600, help="stop after the cell in which these are over")
    parser.add_argument("--report", action="store_true", help="write the report from what there is")
    parser.add_argument("--clean", action="store_true", help=argparse.SUPPRESS)
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
