"""Production of Tchat whole: two web hosts, three app hosts, a database and its two replicas, Redis, three hosts for
ScyllaDB and one that watches, from nothing to verified behind staging's proof; then a replica that is lost."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from deploys.components.monitoring import files as monitoring
from mainstay.inventory import Environment, load
from tests.coverage import verified
from tests.json_schema import faults
from tests.lab import laptop as laptops
from tests.lab.laptop import FAULTS_OF_SETTINGS, Done, Laptop

SYSTEM, PRODUCTION = "tchat", "tchat/production"
DB, LOST, KEPT = "tchat-db-1", "tchat-db-3", "tchat-db-2"
DATA = "/var/lib/postgresql/15/main"
UNPROVEN = {"scylla": ["tchat-scylla-1", "tchat-scylla-2", "tchat-scylla-3"]}
SAID = f"not proven in the lab: scylla ({', '.join(UNPROVEN['scylla'])})"
WHOLE_S = 3000


@dataclass(frozen=True)
class Whole:
    """Both environments, rolled out by one command: what it said of itself, and the inventory of production."""

    laptop: Laptop
    rollout: Any
    env: Environment

    def mainstay(self, *words: str) -> Done:
        """A command of the operator."""
        return self.laptop.mainstay(*words, timeout=WHOLE_S)

    def sql(self, host: str, query: str, database: str = "postgres") -> str:
        """What the host's own PostgreSQL answers, as its superuser."""
        script = f"runuser -u postgres -- psql -XAtq -v ON_ERROR_STOP=1 -d {database} <<'SQL'\n{query};\nSQL"
        return self.laptop.sh(host, f"cd / && {script}").strip()

    def names(self, *roles: str) -> list[str]:
        """Production's hosts with one of the roles."""
        return [host.name for host in self.env.hosts.values() if set(roles) & set(host.roles)]


@pytest.fixture(scope="module")
def whole(lab: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Whole]:
    """Twenty hosts, from an image to verified."""
    laptops.build(SYSTEM)
    laptop = laptops.new(tmp_path_factory.mktemp(SYSTEM), f"{lab}-tchat", SYSTEM)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MAINSTAY_AGE_IDENTITY", str(laptop.identity))
        assert laptop.mainstay("lab", "down").code == 0
        up = laptop.mainstay("lab", "up", SYSTEM)
        assert up.code == 0, up.text
        done = laptop.mainstay("rollout", SYSTEM, "--json", timeout=WHOLE_S)
        assert done.code == 0, done.text
        yield Whole(laptop, done.json, load(SYSTEM, "production", root=laptop.project, lab=laptop.lab))
        assert laptop.mainstay("lab", "down").code == 0


def test_production_is_rolled_out_whole_behind_staging_s_proof(whole: Whole, record_property: Any) -> None:
    assert faults("rollout", whole.rollout) == []
    staging, production = whole.rollout["environments"]
    record_property("seconds", {one["environment"]: one["seconds"] for one in (staging, production)})
    assert (staging["result"], production["result"]) == ("verified", "verified")
    assert staging["change"] == production["change"]
    batches = [(batch["role"], len(batch["hosts"])) for batch in production["batches"]]
    assert batches == [
        ("db+cache", 2),
        ("db_replica", 1),
        ("db_replica", 1),
        ("scylla", 1),
        ("scylla", 1),
        ("scylla", 1),
        ("app", 1),
        ("app", 2),
        ("web", 1),
        ("web", 1),
        ("monitoring", 1),
    ]
    assert {name for batch in production["batches"] for name in batch["hosts"]} == set(whole.env.hosts)
    assert all(batch["passed"] and not batch["failed"] for batch in production["batches"])


def test_what_the_lab_cannot_prove_is_said_by_every_summary(whole: Whole) -> None:
    assert whole.rollout["environments"][1]["unproven"] == UNPROVEN
    for words in (
        ["plan", PRODUCTION, "--limit", "scylla"],
        ["verify", PRODUCTION, "--limit", "tchat-scylla-1"],
        ["status", PRODUCTION],
        ["apply", PRODUCTION, "--limit", "tchat-scylla-1"],
    ):
        done = whole.mainstay(*words)
        assert done.code == 0, done.text
        assert SAID in done.out, words
        read = whole.mainstay(*words, "--json").json
        entry = read["environments"][0] if "environments" in read else read
        assert entry["unproven"] == UNPROVEN, words
        assert faults(words[0], read) == [], words


def test_a_plan_after_it_is_empty(whole: Whole) -> None:
    done = whole.mainstay("plan", PRODUCTION, "--exit-code", "--json")
    assert done.code == 0, done.text
    assert (done.json["changes"], done.json["gate"]) == (0, "")
    assert set(done.json["hosts"]) == set(whole.env.hosts)


def test_every_check_passes_by_hand(whole: Whole, record_property: Any) -> None:
    done = whole.mainstay("verify", PRODUCTION, "--json")
    assert done.code == 0, done.text
    for row, test, passed in verified(done.json["checks"]):
        record_property("verified", (row, test, True, passed))
    proven = set(whole.env.sections) - set(UNPROVEN)
    assert proven <= {check["component"] for check in done.json["checks"]}
    assert "scylla" not in {check["component"] for check in done.json["checks"]}


@pytest.mark.covers("RP-01", "RP-03", "RP-04")
def test_both_replicas_follow_the_one_primary(whole: Whole) -> None:
    writable = {name: whole.sql(name, "SELECT NOT pg_is_in_recovery()") for name in whole.names("db", "db_replica")}
    assert writable == {DB: "t", KEPT: "f", LOST: "f"}
    streaming = whole.sql(DB, "SELECT count(*) FROM pg_stat_replication WHERE state = 'streaming'")
    assert streaming == "2"


@pytest.mark.covers("PT-01", "PT-02", "PT-03", "PT-04", "PT-05", "PT-06", "PT-07")
def test_the_eight_settings_are_in_effect_and_none_waits(whole: Whole) -> None:
    wanted = {
        "max_connections": "200",
        "shared_buffers": "256MB",
        "effective_cache_size": "1GB",
        "maintenance_work_mem": "64MB",
        "random_page_cost": "1.1",
        "seq_page_cost": "1",
        "wal_buffers": "16MB",
        "checkpoint_completion_target": "0.9",
    }
    for host in whole.names("db", "db_replica"):
        assert {name: whole.sql(host, f"SHOW {name}") for name in wanted} == wanted, host
        assert whole.sql(host, FAULTS_OF_SETTINGS) == "", host


def test_nginx_prometheus_and_alertmanager_find_no_fault_in_their_files(whole: Whole) -> None:
    for host in whole.names("web", "app"):
        said = whole.laptop.sh(host, "nginx -T 2>&1 >/dev/null")
        assert "test is successful" in said, f"{host}: {said}"
        assert not [line for line in said.splitlines() if "[warn]" in line or "[emerg]" in line], f"{host}: {said}"
    (watching,) = whole.names("monitoring")
    said = whole.laptop.sh(
        watching,
        "promtool check config /etc/prometheus/prometheus.yml 2>&1 || echo FAILED; "
        f"amtool check-config {monitoring.ALERTMANAGER} 2>&1 || echo FAILED",
    )
    assert "SUCCESS" in said and "FAILED" not in said, said


def test_services_write_their_own_database_and_read_it_back_through_the_pooler(whole: Whole) -> None:
    for name, service in whole.env.services.items():
        first, second = whole.names("app")[:2]
        url = f"http://127.0.0.1:{service.port}/api/items"
        item = f'{{"name": "{name}"}}'
        sent = f"curl -sS -o /dev/null -w '%{{http_code}}' -H 'Content-Type: application/json' -d '{item}'"
        assert whole.laptop.sh(first, f"{sent} {url}").strip() == "201", name
        assert [item["name"] for item in json.loads(whole.laptop.sh(second, f"curl -sS {url}"))["items"]] == [name]
        rows = whole.sql(DB, f"SELECT count(*) FROM tchat_{name}_app.items", f"tchat_{name}")
        assert rows == "1", f"{name}: {rows} rows in its database"


def test_a_replica_that_is_lost_is_found_and_made_again(whole: Whole, record_property: Any) -> None:
    """Its plug is pulled, its data is gone when it comes back; the other replica and the primary go on."""
    whole.sql(DB, "CREATE TABLE kept AS SELECT generate_series(1, 1000) AS n", "tchat_payment")
    assert whole.mainstay("lab", "kill", f"production/{LOST}").code == 0
    deadline = time.monotonic() + 60
    while whole.sql(KEPT, "SELECT to_regclass('kept') IS NOT NULL", "tchat_payment") != "t":
        assert time.monotonic() < deadline, "the other replica does not follow any more"
        time.sleep(1)
    assert whole.mainstay("lab", "boot", f"production/{LOST}").code == 0
    whole.laptop.sh(LOST, f"systemctl stop postgresql@15-main; rm -rf {DATA}")
    failed = whole.mainstay("verify", PRODUCTION, "--limit", LOST, "--component", "replication", "--json")
    assert failed.code == 1
    planned = whole.mainstay("plan", PRODUCTION, "--limit", LOST)
    assert f"15/main: copy of {DB}: there is no data" in planned.out, planned.text
    done = whole.mainstay("apply", PRODUCTION, "--limit", LOST)
    assert done.code == 0, done.text
    record_property("rebuilt_s", round(done.seconds))
    assert whole.sql(LOST, "SELECT count(*) FROM kept", "tchat_payment") == "1000"
    assert whole.sql(DB, "SELECT count(*) FROM pg_stat_replication WHERE state = 'streaming'") == "2"
    whole.sql(DB, "DROP TABLE kept", "tchat_payment")
    assert whole.mainstay("plan", PRODUCTION, "--exit-code").code == 0
