"""What a host or a server must hold: memory and connections, added up before anything is asked of them."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.inventories import copied, messages, unwatched


def test_sum_of_limits_above_the_hosts_memory(tmp_path: Path) -> None:
    root = copied(tmp_path, ("system.yaml", "memory_max: 512M", "memory_max: 3G"))
    found = "found 4G, less than 2 backend x 3G = 6G, expected the sum of what runs there at least"
    assert messages(root) == [f"hosts.eai-app-{number}.memory: {found}" for number in (1, 2, 3)]


APP, DB, CACHE = ("roles: [app], memory: 4G", "roles: [db]", "roles: [cache]")


@pytest.mark.parametrize(
    ("memory", "buffers", "total"),
    [("1G", "256M", "1792M"), ("2044M", "511M", "2047M"), ("2G", "512M", "")],
)
def test_services_and_servers_of_one_host_are_one_sum(tmp_path: Path, memory: str, buffers: str, total: str) -> None:
    """Each fits the host by itself: a quarter of it is PostgreSQL's own cache, and Redis may need its memory twice."""
    on_one = [
        ("staging.yaml", APP, f"roles: [app, db, cache], memory: {memory}"),
        ("staging.yaml", DB, "roles: [monitoring]"),
        ("staging.yaml", CACHE, "roles: [monitoring]"),
    ]
    shares = f"2 backend x 512M + postgres.shared_buffers {buffers} + 2 redis.maxmemory x 256M"
    expected = "the sum of what runs there at least"
    said = f"hosts.eai-stg-app-1.memory: found {memory}, less than {shares} = {total}, expected {expected}"
    assert messages(copied(tmp_path, *on_one), "staging") == ([said] if total else [])


@pytest.mark.covers("PT-11", "PT-14", "DF-13")
def test_connections_above_the_budget_show_the_arithmetic(tmp_path: Path) -> None:
    root = copied(tmp_path, ("system.yaml", "pool: 2 ", "pool: 4 "))
    assert messages(root) == [
        "postgres.max_connections: found 100, which leaves 87, expected connections for "
        "backend: 3 hosts x 2 instances x 4 workers x 4 = 96, besides 3 reserved and 10 for people"
    ]
    assert messages(root, "staging") == []


@pytest.mark.covers("PT-14")
def test_more_connections_lift_the_budget(tmp_path: Path) -> None:
    pool = ("system.yaml", "pool: 2 ", "pool: 4 ")
    more = ("system.yaml", "max_connections: 100 ", "max_connections: 120 ")
    assert messages(copied(tmp_path, pool, more)) == []


def test_a_pooler_counts_where_somebody_runs_one(tmp_path: Path) -> None:
    """Without one of our own a budget that it lifts would be spent on the cluster itself."""
    pool = ("system.yaml", "pool: 2 ", "pool: 4 ")
    pooler = ("system.yaml", "pooler: {enabled: false}", "pooler: {enabled: true}")
    elsewhere = [
        ("system.yaml", "postgres:\n  managed: false", "postgres:\n  managed: true"),
        ("system.yaml", "PGHOST: {type: host, address_of: db", "PGHOST: {type: host, value: db.example.org"),
        ("production.yaml", "roles: [db]", "roles: [app]"),
    ]
    assert messages(copied(tmp_path / "own", pool, pooler)) == [
        "postgres.pooler.enabled: found true, expected false: the section pgbouncer installs one; "
        "this is for a cluster that somebody else runs (managed: true)"
    ]
    assert messages(unwatched(copied(tmp_path / "managed", pool, pooler, *elsewhere))) == []


@pytest.mark.covers("CX-21")
def test_managed_services_need_no_hosts(tmp_path: Path) -> None:
    """CX-21: with `managed: true` the checks stay and nothing asks for a host."""
    root = copied(
        tmp_path,
        ("system.yaml", "redis:\n  managed: false", "redis:\n  managed: true"),
        ("system.yaml", "REDIS_HOST: {type: host, address_of: cache", "REDIS_HOST: {type: host, value: r.upstash.io"),
        ("production.yaml", "roles: [cache]", "roles: [app]"),
    )
    assert messages(unwatched(root)) == []
