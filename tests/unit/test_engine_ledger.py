"""The chain of rows: what is written can be read, and whatever is done to a line afterwards shows."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mainstay import hostkit
from mainstay.engine import ledger
from mainstay.engine.ledger import Row

TEXT = st.text(st.characters(blacklist_categories=["Cs"]), max_size=40)
ROWS = st.lists(
    st.builds(
        Row,
        when=st.just("2026-11-22T03:15:00Z"),
        who=TEXT,
        machine=TEXT,
        run=TEXT,
        system=st.just("shop"),
        env=st.just("staging"),
        host=TEXT,
        verb=st.sampled_from(["rollout", "rollback"]),
        result=st.sampled_from(ledger.RESULTS),
        change=TEXT,
        releases=st.dictionaries(TEXT, TEXT, max_size=3),
        changed=st.lists(TEXT, max_size=3),
        reason=TEXT,
        seconds=st.floats(0, 1e6),
    ),
    min_size=1,
    max_size=6,
)


def row(**values: object) -> Row:
    fixed = {
        "when": "2026-11-22T03:15:00Z",
        "who": "anna",
        "machine": "laptop",
        "run": "r1",
        "system": "shop",
        "env": "staging",
        "host": "shop-1",
        "verb": "rollout",
        "result": ledger.VERIFIED,
        "change": "abc",
    }
    return Row(**{**fixed, **values})  # type: ignore[arg-type]


def chain(rows: list[Row]) -> list[str]:
    lines: list[str] = []
    for each in rows:
        lines.append(ledger.encode(ledger.numbered(each, ledger.read(lines))))
    return lines


@given(ROWS)
def test_what_is_written_is_read_back_whole(rows: list[Row]) -> None:
    lines = chain(rows)
    found = ledger.read(lines)
    assert found.damage is None
    assert [(r.who, r.releases, r.result) for r in found.rows] == [(r.who, r.releases, r.result) for r in rows]
    assert all("\n" not in line for line in lines)


@given(ROWS, st.data())
def test_a_changed_character_shows_in_its_row(rows: list[Row], data: st.DataObject) -> None:
    lines = chain(rows)
    number = data.draw(st.integers(0, len(lines) - 1))
    at = data.draw(st.integers(0, len(lines[number]) - 1))
    other = data.draw(st.sampled_from("x0{"))
    damaged = lines[number][:at] + other + lines[number][at + 1 :]
    if damaged == lines[number]:
        return
    found = ledger.read([*lines[:number], damaged, *lines[number + 1 :]])
    assert found.damage is not None
    assert found.damage.row == number + 1


@given(ROWS, st.data())
def test_a_removed_or_swapped_row_shows(rows: list[Row], data: st.DataObject) -> None:
    lines = chain([*rows, *rows])
    number = data.draw(st.integers(0, len(lines) - 2))
    removed = [line for index, line in enumerate(lines) if index != number]
    swapped = [*lines[:number], lines[number + 1], lines[number], *lines[number + 2 :]]
    for changed in (removed, swapped):
        damage = ledger.read(changed).damage
        assert damage is not None
        assert damage.row == number + 1


@given(st.lists(st.text(st.characters(blacklist_characters="\n", blacklist_categories=["Cs"])), max_size=4))
def test_any_text_is_damage_never_an_exception(lines: list[str]) -> None:
    found = ledger.read(lines)
    assert (found.damage is None) == (not lines)


def test_rows_of_a_newer_version_stay_whole() -> None:
    body = json.loads(ledger.encode(ledger.numbered(row(), ledger.Ledger())))
    del body["hash"]
    text = json.dumps({**body, "new_field": 1}, sort_keys=True, separators=(",", ":"))
    line = f'{text[:-1]},"hash":"{ledger.line_digest(text)}"}}'
    assert ledger.read([line]).damage is None


def test_a_row_names_at_most_forty_operations_and_counts_all() -> None:
    made = ledger.numbered(row(changed=[f"op {n}" for n in range(90)], changes=90), ledger.Ledger())
    assert (len(made.changed), made.changes) == (ledger.MOST_NAMES, 90)


class HostScript:
    """The host script `ledger`, run here on a folder of the test's own."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def __call__(self, *arguments: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
        text = hostkit.inline("ledger", *arguments)
        variables = {"MAINSTAY_ROOT": str(self.root), "PATH": "/usr/bin:/bin"}
        return subprocess.run(
            ["bash", "-c", text], input=stdin, capture_output=True, text=True, check=False, env=variables
        )


@pytest.fixture
def script(tmp_path: Path) -> HostScript:
    return HostScript(tmp_path / "host")


def test_the_host_appends_only_behind_the_row_that_the_writer_saw(script: HostScript) -> None:
    known = ledger.Ledger()
    for number in (1, 2, 3):
        line = ledger.encode(ledger.numbered(row(run=f"r{number}"), known))
        assert script("append", known.head, stdin=line + "\n").returncode == 0
        known = ledger.read(script("read").stdout.splitlines())
    assert known.damage is None
    assert [r.run for r in known.rows] == ["r1", "r2", "r3"]
    late = script("append", ledger.read(known.lines[:1]).head, stdin="late\n")
    assert late.returncode == 9
    assert "has moved on" in late.stderr
    assert script("read").stdout.splitlines() == known.lines
    assert (script.root / "ledger.jsonl").stat().st_mode & 0o777 == 0o600


def test_the_host_appends_behind_a_damaged_row_too_and_the_damage_stays_named(script: HostScript) -> None:
    first = ledger.encode(ledger.numbered(row(), ledger.Ledger()))
    script("append", ledger.FIRST, stdin=first + "\n")
    path = script.root / "ledger.jsonl"
    path.write_text(first.replace('"anna"', '"mallory"') + "\n")
    known = ledger.read(script("read").stdout.splitlines())
    assert str(known.damage) == "ledger row 1 is damaged (its content does not match its hash)"
    script("append", known.head, stdin=ledger.encode(ledger.numbered(row(run="r2"), known)) + "\n")
    again = ledger.read(script("read").stdout.splitlines())
    assert (again.damage, len(again.rows)) == (known.damage, 2)
