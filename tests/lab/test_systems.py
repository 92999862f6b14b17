"""Every shipped system whole: staging and production by one command, from nothing to verified; no change after it, and
no tool on any host finds fault.

One system at a time, each in a lab that is taken down before the next one boots. Tchat has a file of its own, for what
only it has: replicas, and hosts that the lab cannot prove.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from mainstay.engine.batches import role_of, role_order
from tests.coverage import verified
from tests.lab import standing as stands
from tests.lab.standing import Standing
from tests.unit.inventories import SYSTEMS

ELSEWHERE = {"tchat"}
ENVS = ("staging", "production")
pytestmark = pytest.mark.timeout(stands.WHOLE_S)  # the first test waits for the rollout


@pytest.fixture(scope="module", params=[name for name in SYSTEMS if name not in ELSEWHERE])
def whole(
    request: pytest.FixtureRequest, lab: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, Standing]]:
    """The system's environments, rolled out once."""
    with stands.whole(request.param, f"{lab}-systems", tmp_path_factory.mktemp(request.param)) as environments:
        yield environments


@pytest.fixture(params=ENVS)
def standing(request: pytest.FixtureRequest, whole: dict[str, Standing]) -> Standing:
    """One of them."""
    return whole[request.param]


def test_one_command_rolls_out_both_and_production_takes_what_staging_proved(
    whole: dict[str, Standing], record_property: Any
) -> None:
    assert tuple(whole) == ENVS
    record_property("figures", {one.target: one.figures for one in whole.values()})
    staging, production = whole.values()
    assert staging.outcome["change"] == production.outcome["change"]
    assert [batch["role"] for batch in staging.outcome["batches"]] == ["all"]


def test_every_host_is_changed_once_and_checked(standing: Standing) -> None:
    batches = standing.outcome["batches"]
    assert sorted(name for batch in batches for name in batch["hosts"]) == sorted(standing.hosts)
    assert all(batch["passed"] and not batch["failed"] and not batch["failures"] for batch in batches)


def test_production_begins_with_one_host_of_a_role_and_with_what_others_need(
    whole: dict[str, Standing],
) -> None:
    env, batches = whole["production"].env, whole["production"].outcome["batches"]
    roles = [[role_of(env.hosts[name]) for name in batch["hosts"]] for batch in batches]
    seen: list[str] = []
    for batch in roles:
        for role in set(batch) - set(seen):
            assert batch.count(role) == 1, f"the first hosts of {role}: {roles}"
        seen += batch
    ranks = [min(map(role_order(env).index, batch)) for batch in roles]
    assert ranks == sorted(ranks), f"{roles}"
    assert set(seen) == {role_of(host) for host in env.hosts.values()}


def test_a_plan_after_it_is_empty(standing: Standing) -> None:
    assert sorted(standing.plan()["hosts"]) == sorted(standing.hosts)


def test_every_host_is_verified_again_by_hand(standing: Standing, record_property: Any) -> None:
    for row, test, passed in verified(standing.verify()):
        record_property("verified", (row, test, True, passed))


def test_every_service_runs_the_pinned_release_and_answers(standing: Standing) -> None:
    env = standing.env
    running = [service for service in env.services.values() if service.port is not None]
    for service in running:
        for host in standing.hosts_with(service.role):
            base = f"/opt/{env.system}/{service.name}"
            version = env.releases[service.name].version
            assert standing.sh(host, f"readlink -f {base}/current").strip() == f"{base}/releases/{version}"
            for check in service.health:
                url = f"http://127.0.0.1:{service.port}{check.path}"
                code = standing.sh(host, f"curl -sS -o /dev/null -w '%{{http_code}}' {url}")
                assert int(code) == check.expect_status, f"{service.name} on {host}: {check.path} answers {code}"
    assert set(env.releases) == set(env.services)


def test_nginx_finds_no_fault_in_its_files(standing: Standing) -> None:
    assert standing.hosts_with("web", "app", "ml")
    assert standing.faults_of_nginx() == {}


def test_postgresql_finds_no_fault_in_its_settings(standing: Standing) -> None:
    assert standing.hosts_with("db", "db_replica")
    assert standing.faults_of_postgres() == {}


# As the runbooks say, or as many as their services' pools and those who look after it need.
CONNECTIONS = {"superinsight": "100", "spheroseg": "200", "toeic": "200", "everydayai": "100"}


@pytest.mark.covers("PT-09")
def test_postgresql_takes_as_many_connections_as_the_inventory_budgets(standing: Standing) -> None:
    for host in standing.hosts_with("db", "db_replica"):
        assert standing.sql(host, "SHOW max_connections") == CONNECTIONS[standing.env.system]


def test_prometheus_and_alertmanager_find_no_fault_in_their_files(standing: Standing) -> None:
    assert bool(standing.hosts_with("monitoring")) == ("monitoring" in standing.env.sections)
    assert standing.faults_of_monitoring() == {}


def test_no_unit_has_failed_on_any_host(standing: Standing) -> None:
    assert standing.failed_units() == {}
