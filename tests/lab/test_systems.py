"""Every shipped system: its staging from nothing to verified, no change after it, and no tool on its hosts finds fault.

One system at a time, each in a lab that is taken down before the next one boots.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from deploys.components.monitoring import files as monitoring
from mainstay.inventory import Environment, Host, load
from tests.coverage import verified
from tests.json_schema import faults
from tests.lab import laptop as laptops
from tests.lab.laptop import FAULTS_OF_SETTINGS, Laptop
from tests.unit.inventories import SYSTEMS


@dataclass(frozen=True)
class Standing:
    """A system whose staging has been rolled out.

    Attributes:
        laptop: whose commands reach it.
        env: the inventory, with the lab's addresses.
        rollout: what the rollout said of itself.
        seconds: how long it took, from hosts as an image leaves them.
    """

    laptop: Laptop
    env: Environment
    rollout: Any
    seconds: float

    @property
    def target(self) -> str:
        """`system/staging`."""
        return self.env.name

    @property
    def hosts(self) -> list[Host]:
        """The hosts that the lab has."""
        return [host for host in self.env.hosts.values() if not self.env.lacking(host)]

    def hosts_with(self, *roles: str) -> list[str]:
        """The names of those that hold one of the roles."""
        return [host.name for host in self.hosts if set(roles) & set(host.roles)]


@pytest.fixture(scope="module", params=SYSTEMS)
def standing(request: pytest.FixtureRequest, lab: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Standing]:
    """The system's staging, rolled out once."""
    system: str = request.param
    laptops.build(system)
    laptop = laptops.new(tmp_path_factory.mktemp(system), f"{lab}-systems", system)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MAINSTAY_AGE_IDENTITY", str(laptop.identity))
        assert laptop.mainstay("lab", "down").code == 0
        up = laptop.mainstay("lab", "up", system, "--env", "staging")
        assert up.code == 0, up.text
        done = laptop.mainstay("rollout", system, "--env", "staging", "--json")
        assert done.code == 0, done.text
        env = load(system, "staging", root=laptop.project, lab=laptop.lab)
        yield Standing(laptop, env, done.json, done.seconds)
        assert laptop.mainstay("lab", "down").code == 0


def test_staging_is_rolled_out_from_nothing_and_verified(standing: Standing, record_property: Any) -> None:
    record_property("seconds", round(standing.seconds))
    (environment,) = standing.rollout["environments"]
    assert faults("rollout", standing.rollout) == []
    assert environment["result"] == "verified"
    rolled_out = {host for batch in environment["batches"] for host in batch["hosts"]}
    assert rolled_out == {host.name for host in standing.hosts} == set(standing.env.hosts)


def test_a_plan_after_it_is_empty(standing: Standing) -> None:
    done = standing.laptop.mainstay("plan", standing.target, "--exit-code", "--json")
    assert done.code == 0, done.text
    assert done.json["changes"] == 0
    assert sorted(done.json["hosts"]) == sorted(host.name for host in standing.hosts)


def test_every_host_is_verified_again_by_hand(standing: Standing, record_property: Any) -> None:
    done = standing.laptop.mainstay("verify", standing.target, "--json")
    assert done.code == 0, done.text
    for row, test, passed in verified(done.json["checks"]):
        record_property("verified", (row, test, True, passed))
    assert {check["host"] for check in done.json["checks"]} == {host.name for host in standing.hosts}
    proven = set(standing.env.sections) - set(done.json.get("unproven", {}))
    assert proven <= {check["component"] for check in done.json["checks"]}


def test_every_service_runs_the_pinned_release_and_answers(standing: Standing) -> None:
    env = standing.env
    running = [service for service in env.services.values() if service.port is not None]
    for service in running:
        for host in standing.hosts_with(service.role):
            base = f"/opt/{env.system}/{service.name}"
            version = env.releases[service.name].version
            assert standing.laptop.sh(host, f"readlink -f {base}/current").strip() == f"{base}/releases/{version}"
            for check in service.health:
                code = standing.laptop.sh(
                    host, f"curl -sS -o /dev/null -w '%{{http_code}}' http://127.0.0.1:{service.port}{check.path}"
                )
                assert int(code) == check.expect_status, f"{service.name} on {host}: {check.path} answers {code}"
    assert set(env.releases) == set(env.services)


def test_nginx_finds_no_fault_in_its_files(standing: Standing) -> None:
    hosts = standing.hosts_with("web", "app", "ml")
    assert hosts
    for host in hosts:
        said = standing.laptop.sh(host, "nginx -T 2>&1 >/tmp/nginx-T; grep -c '^# configuration file' /tmp/nginx-T >&2")
        wrong = [line for line in said.splitlines() if "[warn]" in line or "[error]" in line or "[emerg]" in line]
        assert wrong == [], f"{host}: {wrong}"
        assert "test is successful" in said, f"{host}: {said}"


def test_postgresql_finds_no_fault_in_its_settings(standing: Standing) -> None:
    hosts = standing.hosts_with("db", "db_replica")
    assert hosts
    for host in hosts:
        query = f"runuser -u postgres -- psql -XAtq -v ON_ERROR_STOP=1 <<'SQL'\n{FAULTS_OF_SETTINGS};\nSQL"
        assert standing.laptop.sh(host, query) == "", host


def test_prometheus_and_alertmanager_find_no_fault_in_their_files(standing: Standing) -> None:
    for host in standing.hosts_with("monitoring"):
        said = standing.laptop.sh(
            host,
            "promtool check config /etc/prometheus/prometheus.yml 2>&1 || echo FAILED; "
            f"promtool check rules {monitoring.RULES} 2>&1 || echo FAILED; "
            f"amtool check-config {monitoring.ALERTMANAGER} 2>&1 || echo FAILED",
        )
        assert said.count("SUCCESS") >= 3 and "FAILED" not in said, f"{host}: {said}"
        rules = json.loads(standing.laptop.sh(host, "curl -sS http://127.0.0.1:9090/api/v1/rules"))
        found = [rule for group in rules["data"]["groups"] for rule in group["rules"]]
        assert found and [rule["name"] for rule in found if rule["health"] == "err"] == []


def test_no_unit_has_failed_on_any_host(standing: Standing) -> None:
    for host in standing.hosts:
        failed = standing.laptop.sh(host.name, "systemctl list-units --failed --no-legend --plain")
        assert failed == "", f"{host.name}: {failed}"
