"""The laptop's index: what hosts said is there without them, and rows that vanish are noticed."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

import pytest

from mainstay.engine import index, ledger
from mainstay.engine.snapshot import HostState
from mainstay.errors import MainstayError
from mainstay.inventory import Environment
from tests.unit.test_engine_ledger import chain, row


@dataclass
class Described:
    system: str = "shop"
    env: str = "staging"
    lab: None = field(default=None)


SHOP = cast(Environment, Described())


@pytest.fixture(autouse=True)
def laptop(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    return tmp_path / "mainstay" / "ledger.sqlite"


def host(lines: list[str]) -> dict[str, HostState]:
    return {"shop-1": HostState("shop-1", ledger=ledger.read(lines))}


def test_rows_are_there_without_their_hosts(laptop: Path) -> None:
    lines = chain([row(run="r1"), row(run="r2")])
    assert index.refresh(SHOP, host(lines)) == []
    away = {"shop-1": HostState("shop-1", reachable=False, reason="gone")}
    assert index.refresh(SHOP, away) == []
    assert [entry.run for entry in index.rows("real", "shop", "staging")] == ["r2", "r1"]
    assert index.rows("real", "shop", "production") == []
    assert index.rows("lab:lab", "shop") == []
    assert laptop.stat().st_mode & 0o777 == 0o600


def test_a_row_that_is_gone_or_another_is_noticed() -> None:
    lines = chain([row(run="r1"), row(run="r2"), row(run="r3")])
    index.refresh(SHOP, host(lines))
    gone = "shop-1: ledger row 3 is not the one that this laptop has seen"
    assert index.refresh(SHOP, host(lines[:2])) == [gone]
    # A forger can make a chain that fits in itself; it does not fit what was seen.
    forged = [*lines[:2], *chain([row(run="r1"), row(run="r2"), row(run="r4")])[2:]]
    assert ledger.read(forged).damage is None
    assert index.refresh(SHOP, host(forged)) == [gone]
    assert index.refresh(SHOP, host(forged)) == [gone]
    assert index.refresh(SHOP, host(lines)) == []


def test_a_new_host_of_the_same_name_begins_anew() -> None:
    index.refresh(SHOP, host(chain([row(run="r1"), row(run="r2")])))
    assert index.refresh(SHOP, host(chain([row(run="r9")]))) == []
    assert [entry.run for entry in index.rows("real", "shop")] == ["r9"]


def test_an_index_that_is_no_database_is_one_sentence(laptop: Path) -> None:
    laptop.parent.mkdir(parents=True)
    laptop.write_text("not a database, and long enough to be looked at as one" * 20)
    with pytest.raises(MainstayError, match=r"it may be deleted, hosts keep the rows"):
        index.rows("real", "shop")
