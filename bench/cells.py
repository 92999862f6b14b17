"""What is measured, cell by cell, and where each result is kept, so that a run can stop and go on.

A cell is one contender, in one case, on so many hosts, over one line, once. Contenders take turns within a repetition,
and the one who begins changes with each, so that what else the machine does hits all of them.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from bench.errors import BenchError


@dataclass(frozen=True, order=True)
class Row:
    """What one contender's runs are summed up over."""

    case: str
    contender: str
    hosts: int
    rtt_ms: int

    @classmethod
    def of(cls, run: Mapping[str, Any]) -> Row:
        """The row that a result belongs to.

        Raises:
            KeyError, TypeError, ValueError: it is no result.
        """
        float(run["seconds"])
        return cls(run["case"], run["contender"], int(run["hosts"]), int(run["rtt_ms"]))


Run = Mapping[str, Any]
"""One result: its row, and all that was counted of it."""
Rows = Mapping[Row, Sequence[Run]]


@dataclass(frozen=True, order=True)
class Cell:
    """One run; `repetition` counts from 0."""

    row: Row
    repetition: int

    @property
    def name(self) -> str:
        """The file's name without its end."""
        row = self.row
        return f"{row.case}.{row.hosts}-hosts.{row.rtt_ms}-ms.{row.contender}.{self.repetition}"


@dataclass(frozen=True)
class Series:
    """The contenders of one case on one ground, and how often each of them runs (fewer for those who take long)."""

    case: str
    hosts: int
    rtt_ms: int
    runs: Mapping[str, int]

    def cells(self) -> Iterator[Cell]:
        """Every cell in the order of measuring."""
        names = list(self.runs)
        for repetition in range(max(self.runs.values(), default=0)):
            start = repetition % len(names)
            for name in names[start:] + names[:start]:
                if repetition < self.runs[name]:
                    yield Cell(Row(self.case, name, self.hosts, self.rtt_ms), repetition)


class Store:
    """The results, one file a cell in `folder`; a file is whole or not there."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def has(self, cell: Cell) -> bool:
        """Whether it was measured."""
        return self._path(cell).exists()

    def left(self, series: Iterable[Series]) -> list[Cell]:
        """The cells that are still to be measured, in order."""
        return [cell for one in series for cell in one.cells() if not self.has(cell)]

    def keep(self, cell: Cell, values: Mapping[str, Any]) -> None:
        """Writes one result."""
        self._folder.mkdir(parents=True, exist_ok=True)
        content = {**asdict(cell.row), "repetition": cell.repetition, **values}
        path = self._path(cell)
        part = path.with_name(f".{path.name}.part")
        part.write_text(json.dumps(content, indent=1, sort_keys=True) + "\n")
        part.replace(path)

    def forget(self) -> None:
        """Removes every result."""
        for path in self._folder.glob("*.json"):
            path.unlink()

    def rows(self) -> dict[Row, list[dict[str, Any]]]:
        """The results of every row, by repetition.

        Raises:
            BenchError: a file is not what `keep` wrote.
        """
        found: dict[Row, list[dict[str, Any]]] = {}
        for path in sorted(self._folder.glob("*.json")):
            try:
                values = json.loads(path.read_text())
                row = Row.of(values)
            except (OSError, ValueError, KeyError, TypeError) as error:
                raise BenchError(
                    f"{path}: found {error}, expected a result of the bench; remove it, or --fresh"
                ) from error
            found.setdefault(row, []).append(values)
        return {row: sorted(runs, key=lambda one: int(one["repetition"])) for row, runs in found.items()}

    def _path(self, cell: Cell) -> Path:
        return self._folder / f"{cell.name}.json"
