"""`mainstay history`: the newest runs of a system, from what this laptop remembers."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

import pytest

from mainstay.engine import index, ledger
from mainstay.engine.snapshot import HostState
from mainstay.inventory import Environment
from tests.cli.test_check import mainstay
from tests.json_schema import faults
from tests.unit.inventories import SYSTEM, copied
from tests.unit.test_engine_ledger import chain, row


@dataclass
class Described:
    env: str
    system: str = SYSTEM
    lab: None = field(default=None)


@pytest.fixture
def remembered(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A laptop that has seen 6 runs on each environment, a release of both services in each."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    for env, name in (("staging", "eai-stg-app-1"), ("production", "eai-app-1")):
        rows = [
            row(
                when=f"2026-11-{10 + number}T0{1 + (env == 'production')}:00:00Z",
                who="alex" if number % 2 else "kim",
                run=f"{env}-{number}",
                env=env,
                host=name,
                system=SYSTEM,
                releases={"backend": f"1.{number}.0", "frontend": f"2.{number}.0"},
            )
            for number in range(6)
        ]
        found = {name: HostState(name, ledger=ledger.read(chain(rows)))}
        assert index.refresh(cast(Environment, Described(env)), found) == []
    return copied(tmp_path / "project")


@pytest.mark.covers("DP-29")
def test_the_ten_newest_releases_of_every_service_with_time_and_operator(remembered: Path) -> None:
    done = mainstay("history", SYSTEM, "--offline", "--json", project=remembered)
    assert done.returncode == 0, done.stderr
    assert faults("history", json.loads(done.stdout)) == []
    runs = json.loads(done.stdout)["runs"]
    assert [run["run"] for run in runs] == [f"{e}-{n}" for n in (5, 4, 3, 2, 1) for e in ("production", "staging")]
    assert [run["who"] for run in runs[:4]] == ["alex", "alex", "kim", "kim"]
    assert runs[0]["releases"] == {"backend": "1.5.0", "frontend": "2.5.0"}
    assert runs[0]["when"] == "2026-11-15T02:00:00Z"


@pytest.mark.covers("DP-29")
def test_a_person_reads_the_same_in_a_table(remembered: Path) -> None:
    done = mainstay("history", f"{SYSTEM}/production", "--offline", "-n", "1", project=remembered, COLUMNS="200")
    header, (line,) = done.stdout.splitlines()[1], done.stdout.splitlines()[2:]
    assert header.split() == ["when", "who", "environment", "what", "result", "releases", "changes", "run"]
    for words in ("2026-11-15 02:00", "alex", "production", "verified", "backend 1.5.0", "frontend 2.5.0"):
        assert words in line, line


def test_limit_leaves_the_runs_of_these_hosts(remembered: Path) -> None:
    def runs(limit: str) -> list[str]:
        done = mainstay("history", f"{SYSTEM}/staging", "--offline", "--json", "--limit", limit, project=remembered)
        assert done.returncode == 0, done.stderr
        return [run["run"] for run in json.loads(done.stdout)["runs"]]

    assert runs("app") == [f"staging-{number}" for number in (5, 4, 3, 2, 1, 0)]
    assert runs("db") == []
    refused = mainstay("history", f"{SYSTEM}/staging", "--offline", "--limit", "nobody", project=remembered)
    assert refused.returncode == 2 and "--limit: found 'nobody'" in refused.stderr
