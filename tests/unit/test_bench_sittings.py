"""Results of several sittings: what is held against what, what is shown, and what stays on record."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench import bars, record, report, sittings
from bench.cells import Row
from bench.errors import BenchError
from bench.statistics import summary

MINE, OTHER = Row("plan", "mainstay", 20, 40), Row("plan", "pyinfra", 20, 40)


def of_medians(slow: list[float], fast: list[float]) -> float:
    return summary(slow).median / summary(fast).median


TIMES = st.lists(st.floats(0.1, 1e3), min_size=1, max_size=7)


def runs(sitting: str, *seconds: float, at: int = 1, **others: Any) -> list[dict[str, Any]]:
    same = {"cpu": 1.0, "hosts_cpu": 0.5, "memory": 100 << 20, "sessions": 1.0, "commit": f"c{sitting}", "cores": 2}
    same |= {"round_trip_ms": 40.5, "line_cpu": 0.1, "whole_seconds": 2.0, "sitting": sitting, "at": at, **others}
    return [{"seconds": value, "repetition": place, **same} for place, value in enumerate(seconds)]


def of_row(row: Row, *results: list[dict[str, Any]]) -> dict[Row, list[dict[str, Any]]]:
    own = {"case": row.case, "contender": row.contender, "hosts": row.hosts, "rtt_ms": row.rtt_ms}
    return {row: [{**own, **run} for each in results for run in each]}


@given(TIMES, TIMES)
def test_in_one_sitting_it_is_the_ratio_of_medians(slow: list[float], fast: list[float]) -> None:
    found = sittings.ratio(runs("a", *slow), runs("a", *fast))
    assert found == pytest.approx(of_medians(slow, fast))


@given(TIMES, TIMES, st.floats(0.01, 100))
def test_a_machine_that_is_slower_for_all_changes_nothing(slow: list[float], fast: list[float], by: float) -> None:
    both = [runs("a", *own) + runs("b", *(value * by for value in own), at=2) for own in (slow, fast)]
    assert sittings.ratio(*both) == pytest.approx(of_medians(slow, fast))


def test_what_was_not_measured_together_is_not_compared() -> None:
    assert sittings.ratio(runs("a", 30.0), runs("b", 3.0)) is None
    assert sittings.ratio(runs("a", 30.0) + runs("b", 8.0), runs("b", 4.0)) == 2
    assert sittings.ratio([], []) is None
    (bar,) = [one for one in bars.BARS if one.text.endswith("plain pyinfra, cold connections") and "40 ms" in one.text]
    assert bar.verdict({OTHER: runs("a", 30.0), MINE: runs("b", 3.0)}) == ("-", "not measured")


def test_start_up_is_taken_off_by_its_own_sitting() -> None:
    rows = {
        Row("start", "mainstay", 1, 0): runs("a", 1.0) + runs("b", 2.0),
        Row("start", "floor", 1, 0): runs("a", 0.5) + runs("b", 1.0),
        MINE: runs("a", 3.0) + runs("b", 6.0),
        Row("plan", "floor", 20, 40): runs("a", 1.5) + runs("b", 3.0) + runs("c", 0.1),
    }
    assert bars.over_floor(20, 40)(rows) == 2
    del rows[Row("start", "floor", 1, 0)]
    assert bars.over_floor(20, 40)(rows) is None


def test_a_line_is_of_the_sitting_with_most_runs_and_the_later_of_two() -> None:
    assert [run["seconds"] for run in sittings.fullest(runs("a", 1, 2, 3) + runs("b", 9, at=2))] == [1, 2, 3]
    assert [run["seconds"] for run in sittings.fullest(runs("b", 9, at=2) + runs("a", 1))] == [9]
    assert sittings.fullest([]) == []


def test_the_page_says_of_which_sitting_a_line_is() -> None:
    rows = {
        MINE: runs("boot-2", 3.0, 3.0, at=90_000, loop=0.2) + runs("boot-1", 2.0, loop=0.1),
        OTHER: runs("boot-1", 8.0) + runs("boot-2", 12.0, 12.0, at=90_001),
    }
    text = report.page(rows, [], "")
    assert "| A | 1970-01-01 | `cboot-1` | 0.100 s |" in text
    assert "| B | 1970-01-02 | `cboot-2` | 0.200 s |" in text
    assert "| pyinfra | 12.0 (12.0-12.0) | - | 4.00x | 1.00 | 1.00 | 0.500 | 278 % | 100 | 2 of 3 | B, A |" in text


def test_what_is_on_record_comes_back(tmp_path: Path) -> None:
    rows = of_row(MINE, runs("a", 1.0, 2.0)) | of_row(OTHER, runs("a", 3.0, said={"much": 1}))
    record.write(tmp_path / "runs.json", rows)
    assert record.read(tmp_path / "runs.json")[MINE] == rows[MINE]
    assert "said" not in record.read(tmp_path / "runs.json")[OTHER][0]
    assert len((tmp_path / "runs.json").read_text().splitlines()) == 3 + 2
    assert record.read(tmp_path / "none.json") == {}


def test_a_sitting_s_own_results_are_replaced_and_others_stay() -> None:
    before = of_row(MINE, runs("a", 1.0), runs("b", 5.0, 5.0)) | of_row(OTHER, runs("b", 9.0))
    found = record.joined(before, of_row(MINE, runs("b", 6.0)))
    assert [(run["sitting"], run["seconds"]) for run in found[MINE]] == [("a", 1.0), ("b", 6.0)]
    assert found[OTHER] == before[OTHER]


def test_what_is_on_record_of_other_sittings_is_told_apart() -> None:
    before = of_row(MINE, runs("a", 1.0), runs("b", 5.0, 5.0)) | of_row(OTHER, runs("b", 9.0))
    found = record.elsewhere(before, of_row(MINE, runs("b", 6.0)))
    assert {row: [run["sitting"] for run in own] for row, own in found.items()} == {MINE: ["a"], OTHER: []}
    assert record.elsewhere(before, {}) == before


@pytest.mark.parametrize("text", ["", "{}", "[1]", json.dumps([{"case": "plan"}])])
def test_a_damaged_record_is_one_sentence_and_stays(tmp_path: Path, text: str) -> None:
    (tmp_path / "runs.json").write_text(text)
    with pytest.raises(BenchError, match=r"runs\.json: found .*, expected what the bench wrote there"):
        record.read(tmp_path / "runs.json")
    assert (tmp_path / "runs.json").read_text() == text


def test_the_record_of_this_tree_can_be_read() -> None:
    rows = record.read(Path(__file__).parents[2] / "docs" / "benchmarks.json")
    assert all(sittings.of(run) for runs in rows.values() for run in runs)
    assert summary(bars.values(rows, MINE)).runs >= 3
