"""The bench's cells: their order, what is left of them, and results that are whole or not there."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench import __main__ as bench_main
from bench import ground, hosts, matrix
from bench.cells import Cell, Row, Series, Store
from bench.contenders import CONTENDERS
from bench.errors import BenchError

ONE = Series("plan", 20, 40, {"mainstay": 3, "pyinfra": 2, "floor": 3})


def names(series: Series) -> list[str]:
    return [f"{cell.row.contender}.{cell.repetition}" for cell in series.cells()]


def test_contenders_take_turns_and_each_begins_once() -> None:
    assert names(ONE) == [
        "mainstay.0", "pyinfra.0", "floor.0",
        "pyinfra.1", "floor.1", "mainstay.1",
        "floor.2", "mainstay.2",
    ]  # fmt: skip


@given(st.dictionaries(st.sampled_from("abcdef"), st.integers(0, 6), min_size=1))
def test_every_run_is_there_once_whatever_the_counts(runs: dict[str, int]) -> None:
    found = list(Series("plan", 1, 0, runs).cells())
    assert len(found) == len(set(found)) == sum(runs.values())
    assert [cell.repetition for cell in found] == sorted(cell.repetition for cell in found)


def test_a_second_run_goes_on_where_the_first_stopped(tmp_path: Path) -> None:
    store = Store(tmp_path / "results")
    cells = list(ONE.cells())
    assert store.left([ONE]) == cells
    for cell in cells[:5]:
        store.keep(cell, {"seconds": 1.5})
    assert Store(tmp_path / "results").left([ONE]) == cells[5:]
    store.forget()
    assert store.left([ONE]) == cells


def test_a_result_that_was_half_written_counts_as_none(tmp_path: Path) -> None:
    store = Store(tmp_path)
    cell = next(ONE.cells())
    store.keep(cell, {"seconds": 2})
    (path,) = tmp_path.glob("*.json")
    path.rename(tmp_path / f".{path.name}.part")
    assert not store.has(cell) and store.rows() == {}


def test_results_come_back_by_row_and_repetition(tmp_path: Path) -> None:
    store = Store(tmp_path)
    row = Row("plan", "mainstay", 20, 40)
    for repetition in (10, 2, 0):
        store.keep(Cell(row, repetition), {"seconds": repetition + 0.5})
    assert [run["seconds"] for run in store.rows()[row]] == [0.5, 2.5, 10.5]


@pytest.mark.parametrize("text", ["", "[]", "{}", json.dumps({"case": "plan", "seconds": "soon"})])
def test_a_damaged_result_is_one_sentence(tmp_path: Path, text: str) -> None:
    (tmp_path / "a.json").write_text(text)
    with pytest.raises(BenchError, match=r"a\.json: found .*, expected a result of the bench"):
        Store(tmp_path).rows()


def test_every_series_names_contenders_that_there_are() -> None:
    for one in matrix.FULL:
        assert set(one.runs) <= set(CONTENDERS[one.case]), one


def test_hosts_are_as_many_as_a_series_needs() -> None:
    assert matrix.hosts_of(matrix.only(matrix.FULL, "first"), 20) == 0, "they bring their own"
    assert matrix.hosts_of(matrix.only(matrix.FULL, "targets"), 20) == 20, "each host stands for many"
    assert matrix.hosts_of(matrix.quick(), 20) == 5
    assert matrix.hosts_of([], 20) == 0


@pytest.mark.parametrize(("up", "named"), [(0, 5), (5, 5), (20, 20)])
def test_the_inventory_names_every_host_that_stands_and_no_other(
    up: int, named: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A verification looks at all of them, from the one host that a series is measured on too."""
    found: list[tuple[int, int]] = []

    def converge(place: ground.Ground, say: object) -> None:
        found.append((prepared[-1], len(place.names)))
        raise BenchError("as far as this test goes")

    prepared: list[int] = []

    def prepare(count: int) -> ground.Ground:
        prepared.append(count)
        return ground.Ground(tmp_path, ground.LAB, ground.names(count))

    monkeypatch.setattr(ground, "prepare", prepare)
    monkeypatch.setattr(hosts, "standing", lambda lab: up)
    monkeypatch.setattr(hosts, "converge", converge)
    with pytest.raises(BenchError, match="as far as"):
        bench_main._measure(matrix.quick(), Store(tmp_path), 60)
    assert found == [(named, 5)]


def test_contenders_can_be_left_out() -> None:
    left = matrix.without(matrix.FULL, ["ansible", "mitogen"])
    names = {cell.row.contender for one in left for cell in one.cells()}
    assert "pyinfra" in names and not names & {"ansible", "mitogen"}


def recorded(**counts: int) -> dict[Row, list[dict[str, str]]]:
    return {Row("plan", name, 20, 40): [{"sitting": "before"}] * count for name, count in counts.items()}


def test_what_is_missing_runs_beside_what_it_is_held_against() -> None:
    series = [Series("start", 1, 0, {"python": 2}), Series("plan", 20, 40, {"mainstay": 3, "floor": 2, "ansible": 3})]
    start, plan = matrix.missing(series, recorded(mainstay=4, floor=2, ansible=1))
    assert plan.runs == {"mainstay": 1, "ansible": 2}
    assert start == series[0], "starts are taken off within a sitting, so each measures them"
    assert matrix.missing(series, recorded(mainstay=1, floor=2, ansible=3))[1].runs == {"mainstay": 2}
    assert matrix.missing(series, {}) == series


def test_nothing_is_missing_where_every_run_is_on_record() -> None:
    every = {cell.row: [{"sitting": "before"}] * 9 for one in matrix.FULL for cell in one.cells()}
    assert matrix.missing(matrix.FULL, every) == []


@pytest.mark.parametrize(
    ("case", "name", "held"),
    [
        ("plan", "floor-open", "mainstay-open"), ("plan", "ansible", "mainstay"), ("first", "pyinfra", "mainstay-pass"),
        ("first", "ansible", "mainstay"), ("line", "mitogen", "mainstay-pass"), ("verify", "testinfra", "mainstay"),
    ],
)  # fmt: skip
def test_who_changes_is_held_against_who_does_as_much(case: str, name: str, held: str) -> None:
    assert matrix.held_against(case, name) == held


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--runs", "0"], "argument --runs: found 0, expected 1 or more"),
        (["--runs", "many"], "argument --runs: found many, expected 1 or more"),
        (["--without", "puppet"], "argument --without: invalid choice: 'puppet'"),
        (["--only", "verify", "--hosts", "7"], "found nothing that is measured so, expected one of: start on 1 over"),
        (["--hosts", "0"], "found nothing that is measured so, expected one of: start on 1 over"),
    ],
)
def test_what_cannot_be_measured_is_one_sentence(
    words: list[str], message: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["bench", *words])
    monkeypatch.setattr(bench_main, "_measure", lambda *_: pytest.fail("it began to measure"))
    try:
        assert bench_main.main() == 1
    except SystemExit as end:
        assert end.code == 2
    assert message in capsys.readouterr().err


def test_quick_measures_each_at_most_twice() -> None:
    quick = matrix.quick()
    assert {cell.repetition for one in quick for cell in one.cells()} == {0, 1}
    assert len({cell for one in quick for cell in one.cells()}) < len({c for one in matrix.FULL for c in one.cells()})
    assert {cell.repetition for one in matrix.at_most(quick, 1) for cell in one.cells()} == {0}
    assert matrix.only(quick, "verify") and not matrix.only(quick, "nothing")
