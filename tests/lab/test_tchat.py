"""Production of Tchat whole: two web hosts, three app hosts, a database and its two replicas, Redis, three hosts for
ScyllaDB and one that watches, from nothing to verified behind staging's proof; then a replica that is lost."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Any

import pytest

from deploys.components.nginx import model as nginx
from tests.coverage import verified
from tests.json_schema import faults
from tests.lab import standing as stands
from tests.lab.standing import Standing

SYSTEM, PRODUCTION = "tchat", "tchat/production"
DB, LOST, KEPT = "tchat-db-1", "tchat-db-3", "tchat-db-2"
DATA = "/var/lib/postgresql/15/main"
UNPROVEN = {"scylla": ["tchat-scylla-1", "tchat-scylla-2", "tchat-scylla-3"]}
SAID = f"not proven in the lab: scylla ({', '.join(UNPROVEN['scylla'])})"

pytestmark = pytest.mark.timeout(stands.WHOLE_S)  # the first test waits for the rollout


@pytest.fixture(scope="module")
def both(lab: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Standing]]:
    """Twenty hosts, from an image to verified."""
    with stands.whole(SYSTEM, f"{lab}-tchat", tmp_path_factory.mktemp(SYSTEM)) as environments:
        yield environments


@pytest.fixture(scope="module")
def whole(both: dict[str, Standing]) -> Standing:
    """Production."""
    return both["production"]


def test_production_is_rolled_out_whole_behind_staging_s_proof(both: dict[str, Standing], record_property: Any) -> None:
    staging, production = (one.outcome for one in both.values())
    record_property("figures", {one.target: one.figures for one in both.values()})
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
    assert {name for batch in production["batches"] for name in batch["hosts"]} == set(both["production"].hosts)
    assert all(batch["passed"] and not batch["failed"] for batch in production["batches"])


def test_what_the_lab_cannot_prove_is_said_by_every_summary(whole: Standing) -> None:
    assert whole.outcome["unproven"] == UNPROVEN
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


def test_staging_and_production_need_nothing_more_and_every_check_passes(
    both: dict[str, Standing], record_property: Any
) -> None:
    for standing in both.values():
        assert set(standing.plan()["hosts"]) == set(standing.hosts)
        checks = standing.verify()
        for row, test, passed in verified(checks):
            record_property("verified", (row, test, True, passed))
        assert "scylla" not in {check["component"] for check in checks}


def test_no_tool_finds_fault_on_any_host(both: dict[str, Standing]) -> None:
    for standing in both.values():
        assert standing.faults_of_nginx() == {}
        assert standing.faults_of_postgres() == {}
        assert standing.faults_of_monitoring() == {}
        assert standing.failed_units() == {}


@pytest.mark.covers("RP-01", "RP-03", "RP-04")
def test_both_replicas_follow_the_one_primary(whole: Standing) -> None:
    names = whole.hosts_with("db", "db_replica")
    writable = {name: whole.sql(name, "SELECT NOT pg_is_in_recovery()") for name in names}
    assert writable == {DB: "t", KEPT: "f", LOST: "f"}
    streaming = whole.sql(DB, "SELECT count(*) FROM pg_stat_replication WHERE state = 'streaming'")
    assert streaming == "2"


@pytest.mark.covers("PT-01", "PT-02", "PT-03", "PT-04", "PT-05", "PT-06", "PT-07")
def test_the_eight_settings_are_in_effect_and_none_waits(whole: Standing) -> None:
    assert whole.faults_of_postgres() == {}
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
    for host in whole.hosts_with("db", "db_replica"):
        assert {name: whole.sql(host, f"SHOW {name}") for name in wanted} == wanted, host


# tchat-config's connections, and all of tchat-performance-config that is a pool of them.
POOLS = {
    "DB_MAX_OPEN_CONNS": "50",
    "DB_MAX_IDLE_CONNS": "10",
    "DB_CONN_MAX_LIFETIME": "5m",
    "REDIS_POOL_SIZE": "50",
    "REDIS_MIN_IDLE_CONNS": "10",
    "REDIS_DIAL_TIMEOUT": "5s",
    "REDIS_READ_TIMEOUT": "3s",
    "REDIS_WRITE_TIMEOUT": "3s",
    "HTTP_CLIENT_TIMEOUT": "30s",
    "HTTP_CLIENT_MAX_IDLE_CONNS": "100",
    "HTTP_CLIENT_MAX_CONNS_PER_HOST": "10",
}


@pytest.mark.covers("PT-10", "PT-12", "PT-13")
def test_every_service_runs_with_the_seed_s_pools_and_redis_takes_them_all(whole: Standing) -> None:
    for name in whole.env.services:
        for host in whole.hosts_with("app"):
            pid = f"$(systemctl show -p MainPID --value 'tchat-{name}@*')"
            environ = whole.sh(host, f"tr '\\0' '\\n' < /proc/{pid}/environ")
            found = dict(line.split("=", 1) for line in environ.splitlines())
            assert {key: found.get(key) for key in POOLS} == POOLS, f"{name} on {host}"
    (cache,) = whole.hosts_with("cache")
    ask = "REDISCLI_AUTH=$(cat /etc/mainstay/redis.password) redis-cli --user mainstay CONFIG GET maxclients"
    most = len(whole.env.services) * 12 * int(POOLS["REDIS_POOL_SIZE"])  # 12 of each, when it is scaled out
    assert int(whole.sh(cache, ask).split()[-1]) >= most


def test_services_write_their_own_database_and_read_it_back_through_the_pooler(whole: Standing) -> None:
    for name, service in whole.env.services.items():
        first, second = whole.hosts_with("app")[:2]
        url = f"http://127.0.0.1:{service.port}/api/items"
        item = f'{{"name": "{name}"}}'
        sent = f"curl -sS -o /dev/null -w '%{{http_code}}' -H 'Content-Type: application/json' -d '{item}'"
        assert whole.sh(first, f"{sent} {url}").strip() == "201", name
        assert [item["name"] for item in json.loads(whole.sh(second, f"curl -sS {url}"))["items"]] == [name]
        rows = whole.sql(DB, f"SELECT count(*) FROM tchat_{name}_app.items", f"tchat_{name}")
        assert rows == "1", f"{name}: {rows} rows in its database"


@pytest.mark.covers("HC-03", "HC-06")
def test_each_prefix_of_the_public_site_is_answered_by_the_service_that_it_names(whole: Standing) -> None:
    """What only that service can say: the row that the test before wrote into its database."""
    (name,) = whole.env.section("nginx", nginx.Section).sites["api"].names(whole.env)
    for web in whole.hosts_with("web"):
        for service in whole.env.services:
            ask = f"curl -sSk --max-time 10 --resolve {name}:443:127.0.0.1 https://{name}/{service}"
            items = json.loads(whole.sh(web, f"{ask}/api/items"))["items"]
            assert [item["name"] for item in items] == [service], f"{service} on {web}"
            assert json.loads(whole.sh(web, f"{ask}/health"))["status"] == "healthy", f"{service} on {web}"
        for path in ("/api/items", "/health", "/none/health", "/"):
            said = whole.sh(web, f"{ask.replace(f'/{service}', path)} -o /dev/null -w '%{{http_code}}'")
            assert said == "404", f"{path} on {web}"


def test_a_replica_that_is_lost_is_found_and_made_again(whole: Standing, record_property: Any) -> None:
    """Its plug is pulled, its data is gone when it comes back; the other replica and the primary go on."""
    whole.sql(DB, "CREATE TABLE kept AS SELECT generate_series(1, 1000) AS n", "tchat_payment")
    assert whole.mainstay("lab", "kill", f"production/{LOST}").code == 0
    deadline = time.monotonic() + 60
    while whole.sql(KEPT, "SELECT to_regclass('kept') IS NOT NULL", "tchat_payment") != "t":
        assert time.monotonic() < deadline, "the other replica does not follow any more"
        time.sleep(1)
    assert whole.mainstay("lab", "boot", f"production/{LOST}").code == 0
    whole.sh(LOST, f"systemctl stop postgresql@15-main; rm -rf {DATA}")
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
