"""The main job on real hosts: the shipped system's staging, from nothing to verified, and no change after it."""

import json
import sys

import pytest

from tests.coverage import verified
from tests.json_schema import faults
from tests.lab.bench import ROOT
from tests.lab.laptop import SYSTEM


def test_staging_is_rolled_out_from_nothing_and_verified(origin, staging):
    assert len(staging) == 5
    history = origin.mainstay("history", f"{SYSTEM}/staging", "--json")
    assert history.code == 0, history.text


def test_a_plan_after_it_is_empty(origin, staging):
    done = origin.mainstay("plan", f"{SYSTEM}/staging", "--exit-code", "--json")
    assert done.code == 0, done.text
    assert done.json["changes"] == 0
    assert faults("plan", done.json) == []
    assert sorted(done.json["hosts"]) == sorted(staging)


def test_questions_that_go_together_have_the_answers_that_each_has_by_itself(origin, staging):
    done = origin.run("env", f"PYTHONPATH={ROOT}", sys.executable, "-m", "tests.lab.alone", f"{SYSTEM}/staging")
    assert done.code == 0, done.text
    found = json.loads(done.out)
    assert {name: row["different"] for name, row in found.items()} == {name: [] for name in staging}
    assert all(row["questions"] > 1.5 * row["asked"] for row in found.values()), found


def test_every_host_is_verified_again_by_hand(origin, staging, record_property):
    done = origin.mainstay("verify", f"{SYSTEM}/staging", "--json")
    assert done.code == 0, done.text
    assert faults("verify", done.json) == []
    for row, test, passed in verified(done.json["checks"]):
        record_property("verified", (row, test, True, passed))
    assert {check["host"] for check in done.json["checks"]} == set(staging)
    assert {"base", "nginx", "postgres", "redis", "release", "service", "frontend"} <= {
        check["component"] for check in done.json["checks"]
    }


@pytest.mark.covers("DP-11", "DP-20", "DP-28", "GP-15")
def test_the_newest_run_says_what_is_there(origin, staging):
    """Who, when, what and how it ended; the version that runs, and a second rollout finds nothing to do."""
    app, base = next(name for name in staging if "-app-" in name), "/opt/everydayai/backend"
    again = origin.mainstay("rollout", SYSTEM, "--env", "staging", "--json")
    assert again.code == 0, again.text
    assert [batch["changes"] for batch in again.json["environments"][0]["batches"]] == [0], again.text
    (newest, *_) = origin.mainstay("history", f"{SYSTEM}/staging", "--json").json["runs"]
    assert (newest["verb"], newest["result"], newest["who"]) == ("rollout", "verified", "alex")
    assert newest["passed"] > 100 and newest["failed"] == 0
    assert newest["when"].startswith("20")
    version = newest["releases"]["backend"]
    assert origin.sh(app, f"readlink -f {base}/current").strip() == f"{base}/releases/{version}"
    assert json.loads(origin.sh(app, "curl -sS http://127.0.0.1:8000/version"))["version"] == version
    status = origin.mainstay("status", f"{SYSTEM}/staging", "--json")
    assert status.code == 0, status.text
    assert status.json["environments"][0]["hosts"][app]["releases"]["backend"]["current"] == version
    assert (faults("status", status.json), faults("history", {"runs": [newest], "notes": []})) == ([], [])


@pytest.mark.covers("DP-19", "DP-37", "DF-56")
def test_nothing_is_built_or_contained_on_hosts(origin, staging):
    for host in staging:
        found = origin.sh(host, "command -v docker podman cc gcc make npm node go git || true")
        assert found == "", f"{host} has {found}"
