"""The main job on real hosts: the shipped system's staging, from nothing to verified, and no change after it."""

import pytest

from tests.coverage import verified
from tests.lab.laptop import SYSTEM

pytestmark = pytest.mark.xdist_group("test_main_job")


def test_staging_is_rolled_out_from_nothing_and_verified(origin, staging):
    assert len(staging) == 4
    history = origin.mainstay("history", f"{SYSTEM}/staging", "--json")
    assert history.code == 0, history.text


def test_a_plan_after_it_is_empty(origin, staging):
    done = origin.mainstay("plan", f"{SYSTEM}/staging", "--exit-code", "--json")
    assert done.code == 0, done.text
    assert done.json["changes"] == 0
    assert sorted(done.json["hosts"]) == sorted(staging)


def test_every_host_is_verified_again_by_hand(origin, staging, record_property):
    done = origin.mainstay("verify", f"{SYSTEM}/staging", "--json")
    assert done.code == 0, done.text
    for row, test, passed in verified(done.json["checks"]):
        record_property("verified", (row, test, True, passed))
    assert {check["host"] for check in done.json["checks"]} == set(staging)
    assert {"base", "nginx", "postgres", "redis", "release", "service", "frontend"} <= {
        check["component"] for check in done.json["checks"]
    }
