"""The results on record, `docs/benchmarks.json`: every run with all that was counted of it, of each sitting."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from bench import sittings
from bench.cells import Row, Rows, Run
from bench.errors import BenchError

# What a contender's driver said is for whoever looks at the results of this machine.
_NOT_KEPT = "said"


def read(path: Path) -> dict[Row, list[dict[str, Any]]]:
    """What stands there; nothing where there is no such file.

    Raises:
        BenchError: it is not what `write` wrote.
    """
    try:
        runs = json.loads(path.read_text())
        if not isinstance(runs, list):
            raise TypeError(f"a {type(runs).__name__}")
        found: dict[Row, list[dict[str, Any]]] = {}
        for run in runs:
            found.setdefault(Row.of(run), []).append(run)
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise BenchError(f"{path}: found {error}, expected what the bench wrote there; git has it") from error
    return found


def elsewhere(recorded: Rows, measured: Rows) -> dict[Row, list[Run]]:
    """What is on record of sittings other than those that were measured here."""
    own = {sittings.of(run) for runs in measured.values() for run in runs}
    return {row: [run for run in runs if sittings.of(run) not in own] for row, runs in recorded.items()}


def joined(recorded: Rows, measured: Rows) -> dict[Row, list[Run]]:
    """Both; what was measured stands in the place of what its own sitting has on record of that row."""
    found: dict[Row, list[Run]] = {}
    for row in {**recorded, **measured}:
        anew = list(measured.get(row, ()))
        own = {sittings.of(run) for run in anew}
        found[row] = [run for run in recorded.get(row, ()) if sittings.of(run) not in own] + anew
    return found


def write(path: Path, rows: Rows) -> None:
    """A line of JSON for each run, so that a change of one is a change of one line."""
    runs = [{key: value for key, value in run.items() if key != _NOT_KEPT} for row in sorted(rows) for run in rows[row]]
    path.write_text("[\n" + ",\n".join(json.dumps(run, sort_keys=True) for run in runs) + "\n]\n")
