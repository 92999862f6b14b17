"""What is measured of PostgreSQL and of Redis."""

from __future__ import annotations

from deploys.components.monitoring.measure import Measure
from deploys.components.monitoring.measures_host import DISK, REAL_DISKS, disk

_POSTGRES_MOUNTS = ("/var/lib/postgresql.*", "/var/lib", "/var", "/")
"""Where a cluster's folder may be mounted, the deepest first."""

REPLICATION = Measure(
    "replication_lag_s",
    "ReplicationLag",
    "that a replica is behind",
    ("host",),
    "max by (host) (mainstay_replication_lag_seconds)",
    ("mainstay_replication_lag_seconds",),
    "postgres",
)


def of_postgres(hosts: list[str]) -> list[Measure]:
    """What the PostgreSQL on each of `hosts`, by name, gives."""
    of = ("host",)
    transactions = "rate(pg_stat_database_xact_commit[5m]) + rate(pg_stat_database_xact_rollback[5m])"
    hit, read = "rate(pg_stat_database_blks_hit[5m])", "rate(pg_stat_database_blks_read[5m])"
    return [
        Measure(
            "db_pool_pct",
            "DatabaseConnections",
            "of max_connections in use",
            of,
            "100 * sum by (host) (pg_stat_database_numbackends) / max by (host) (pg_settings_max_connections)",
            ("pg_stat_database_numbackends", "pg_settings_max_connections"),
            "postgres",
        ),
        Measure(
            "db_query_ms",
            "DatabaseQueryTime",
            "that a transaction works, on average",
            of,
            f"1000 * sum by (host) (rate(mainstay_database_active_seconds[5m])) / (sum by (host) ({transactions}) > 0)",
            ("mainstay_database_active_seconds", "pg_stat_database_xact_commit"),
            "postgres",
        ),
        Measure(
            "db_disk_pct",
            "DatabaseDisk",
            "of the database's disk in use",
            ("host", "mountpoint"),
            _disk_of_postgres(hosts),
            DISK,
            "node",
        ),
        Measure(
            "db_cache_hit_pct",
            "DatabaseCacheHits",
            "of blocks found in the database's own cache",
            of,
            # A few blocks a second say nothing.
            f"100 * sum by (host) ({hit}) / (sum by (host) ({hit} + {read}) > 10)",
            ("pg_stat_database_blks_hit", "pg_stat_database_blks_read"),
            "postgres",
            falls=True,
        ),
    ]


def _disk_of_postgres(hosts: list[str]) -> str:
    """Of the deepest file system on the way to the clusters' folder: they are on no other."""
    found, deeper = [], []
    for mount in _POSTGRES_MOUNTS:
        of = f',host=~"{"|".join(hosts)}",mountpoint=~"{mount}"'
        found.append(" unless on (host) ".join([f"({disk(of)})", *deeper]))
        deeper.append(f'node_filesystem_size_bytes{{job="node",{REAL_DISKS},mountpoint=~"{mount}"}}')
    return " or ".join(f"({one})" for one in found)


def of_redis(maxclients: int) -> list[Measure]:
    """The limit of clients is the inventory's: only CONFIG would tell the server's, which the exporter may not ask."""
    of, hits = ("host",), "rate(redis_keyspace_hits_total[5m])"
    return [
        Measure(
            "redis_memory_pct",
            "RedisMemory",
            "of maxmemory in use",
            of,
            "100 * max by (host) (redis_memory_used_bytes / (redis_memory_max_bytes > 0))",
            ("redis_memory_used_bytes", "redis_memory_max_bytes"),
            "redis",
        ),
        Measure(
            "redis_connections_pct",
            "RedisConnections",
            "of maxclients in use",
            of,
            f"100 * max by (host) (redis_connected_clients) / {maxclients}",
            ("redis_connected_clients",),
            "redis",
        ),
        Measure(
            "redis_evictions_per_s",
            "RedisEvictions",
            "keys thrown out for want of memory",
            of,
            "max by (host) (rate(redis_evicted_keys_total[5m]))",
            ("redis_evicted_keys_total",),
            "redis",
        ),
        Measure(
            "cache_hit_pct",
            "CacheHits",
            "of keys found in Redis",
            of,
            f"100 * max by (host) ({hits} / ({hits} + rate(redis_keyspace_misses_total[5m]) > 0))",
            ("redis_keyspace_hits_total", "redis_keyspace_misses_total"),
            "redis",
            falls=True,
        ),
    ]
