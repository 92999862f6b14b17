"""The bench's numbers and what it makes of them: medians, ratios, bars, the page, the plot."""

from __future__ import annotations

from typing import Any
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench import bars, report, sittings
from bench.cells import Row
from bench.plot import drawing
from bench.statistics import Summary, shown, summary

Rows = dict[Row, list[dict[str, Any]]]


def runs(*seconds: float, **others: Any) -> list[dict[str, Any]]:
    same = {"cpu": 1.0, "hosts_cpu": 0.5, "memory": 100 << 20, "sessions": 1.0, "commit": "abc1234", "at": 1}
    same |= {"round_trip_ms": 40.5, "line_cpu": 0.1, "whole_seconds": 2.0, "cores": 2, **others}
    return [{"seconds": value, "repetition": at, **same} for at, value in enumerate(seconds)]


@pytest.fixture
def rows() -> Rows:
    return {
        Row("start", "mainstay", 1, 0): runs(1.0, 1.0, 1.0),
        Row("start", "floor", 1, 0): runs(0.2, 0.2, 0.2),
        Row("plan", "mainstay", 20, 40): runs(3.0, 2.9, 9.9),
        Row("plan", "pyinfra", 20, 40): runs(29.0, 30.0, 31.0, sessions=130.0),
        Row("plan", "floor", 20, 40): runs(1.1, 1.2, 1.4),
    }


def verdict(rows: Rows, text: str) -> tuple[str, str]:
    (bar,) = [one for one in bars.BARS if one.text == text]
    return bar.verdict(rows)


def test_a_summary_is_median_least_and_most() -> None:
    assert summary([3, 1, 10]) == Summary(3, 1, 10, 3)
    assert str(summary([3, 1, 10])) == "3.00 (1.00-10.0)"
    with pytest.raises(ValueError, match="no runs"):
        summary([])


def test_one_slow_run_does_not_move_the_ratio() -> None:
    assert sittings.ratio(runs(20, 20, 500), runs(2, 2, 2)) == 10
    assert sittings.ratio(runs(1), runs(0)) == float("inf")


@given(st.floats(0.001, 1e6))
def test_shown_numbers_have_three_digits_that_count(value: float) -> None:
    assert abs(float(shown(value)) - value) <= max(0.0005, value * 0.005)


def test_bars_are_met_or_not_by_medians(rows: Rows) -> None:
    assert verdict(rows, "plan, 20 hosts, 40 ms: plain pyinfra, cold connections") == ("10.0x", "met")
    rows[Row("plan", "pyinfra", 20, 40)] = runs(29.0, 29.0, 31.0)
    assert verdict(rows, "plan, 20 hosts, 40 ms: plain pyinfra, cold connections") == ("9.67x", "**not met**")
    assert verdict(rows, "plan, 20 hosts, 40 ms: execs a host") == ("1.00", "met")


def test_the_floor_is_compared_without_start_up(rows: Rows) -> None:
    assert verdict(rows, "plan, 20 hosts, 40 ms: against the floor, cold") == ("2.00x", "met")
    del rows[Row("start", "floor", 1, 0)]
    assert verdict(rows, "plan, 20 hosts, 40 ms: against the floor, cold") == ("-", "not measured")


def test_what_was_not_measured_is_not_called_met() -> None:
    assert {bar.verdict({})[1] for bar in bars.BARS} == {"not measured"}


def test_the_page_has_every_bar_and_every_row(rows: Rows) -> None:
    text = report.page(rows, ["about"], "## How\n")
    assert all(bar.text in text for bar in bars.BARS)
    assert "| pyinfra | 30.0 (29.0-31.0) | - | 10.0x | 130 | 1.00 | 0.500 | 278 % | 100 | 3 |" in text
    assert "| Mainstay | 3.00 (2.90-9.90) | 2.00 | 1.00x | 1.00 |" in text
    assert "a round trip of 40.5 (40.5-40.5) ms" in text and "used 5 % of one processor (5-5 %)" in text
    assert "| 20 hosts, 40 ms | 25.0x | 10.0x | 278 % |" in text
    assert "### 20 hosts, 40 ms" in text and text.endswith("## How\n")


def test_the_plot_is_svg_with_a_bar_for_each_row(rows: Rows) -> None:
    root = ElementTree.fromstring(report.plot(rows))
    space = "{http://www.w3.org/2000/svg}"
    assert root.tag == f"{space}svg"
    assert len(root.findall(f"{space}rect")) == 1 + sum(row.case != "start" for row in rows)


def test_names_are_escaped_in_the_plot() -> None:
    ElementTree.fromstring(drawing({"a < b & c": {"<x>": Summary(1, 1, 2, 3)}}))


@pytest.mark.parametrize("groups", [{}, {"a": {}}, {"a": {"b": Summary(0, 0, 1, 2)}}])
def test_nothing_to_draw_is_said(groups: dict[str, dict[str, Summary]]) -> None:
    with pytest.raises(ValueError, match="nothing to draw"):
        drawing(groups)


def test_a_first_apply_is_compared_with_and_without_apt(rows: Rows) -> None:
    rows[Row("first", "mainstay", 1, 0)] = runs(30.0, 31.0, 32.0, in_apt=20.0)
    rows[Row("first", "ansible", 1, 0)] = runs(60.0, 64.0, 65.0, in_apt=20.0)
    assert verdict(rows, "first apply, 1 host: Ansible, time inside apt taken out") == ("4.00x", "met")
    assert verdict(rows, "first apply, 1 host: Ansible, time inside apt left in") == ("2.06x", "met")
    text = report.page(rows, [], "")
    assert "| without apt |" in text and "| Ansible | 64.0 (60.0-65.0) | 44.0 | 2.06x | - |" in text
