"""What a threshold or an alert may speak of: each measure is one PromQL expression in the unit that ends its name.

The runbooks' own expressions are wrong in ways that nobody sees until the night: rates that were called percentages
(DF-28, DF-37), series divided by themselves (DF-29), quantiles of single series (DF-33), memory that counts the page
cache (DF-34), disks without what is reserved for root (DF-35), CPU that counts one core (DF-36).
"""

from __future__ import annotations

from dataclasses import dataclass

from deploys.components.monitoring import collected
from deploys.components.monitoring.exporters import has_postgres, has_redis, measured_services
from deploys.components.monitoring.section import section
from deploys.components.redis import model as redis
from mainstay.inventory import Environment

REAL_DISKS = 'fstype!~"tmpfs|ramfs|overlay|squashfs|iso9660|fuse.*"'
_POSTGRES_MOUNTS = ("/var/lib/postgresql.*", "/var/lib", "/var", "/")
"""Where a cluster's folder may be mounted, the deepest first."""

_DISK = ("node_filesystem_avail_bytes", "node_filesystem_size_bytes")


@dataclass(frozen=True)
class Measure:
    """One measurement.

    Attributes:
        name: as thresholds name it; the end is its unit.
        alert: the name of the alerts about it.
        says: what it is, in the words of an alert's summary.
        of: the labels that tell one of its series from another.
        expr: PromQL; no data where there is nothing to measure.
        metrics: what it is made of: who answers and does not say them is told of.
        job: what gives them.
        falls: whether less is worse.
        givers: services that give them, where not all do; they are looked for only where a rule is made of it.
    """

    name: str
    alert: str
    says: str
    of: tuple[str, ...]
    expr: str
    metrics: tuple[str, ...]
    job: str
    falls: bool = False
    givers: tuple[str, ...] = ()

    @property
    def recorded(self) -> str:
        """The series that holds it, for rules and consoles alike."""
        return f"mainstay:{self.name}"

    @property
    def unit(self) -> str:
        """As people write it after the number."""
        ends = {"_pct": " %", "_ms": " ms", "_per_s": "/s", "_per_min": "/min", "_s": " s"}
        return next(unit for end, unit in ends.items() if self.name.endswith(end))


def measures(env: Environment) -> dict[str, Measure]:
    """The measures that the environment's targets give, by name."""
    hosts = list(env.hosts.values())
    found = _of_hosts()
    databases = [host.name for host in hosts if has_postgres(env, host)]
    if databases:
        found += _of_postgres(databases)
    if databases and env.hosts_of("db_replica"):
        found.append(_REPLICATION)
    if any(has_redis(env, host) for host in hosts):
        found += _of_redis(redis.section(env).maxclients)
    if collected.has_processes(env):
        found += _of_units()
    if collected.looks(env):
        found.append(_LOGS)
    if section(env).metrics:
        found += _of_services(_with_a_pool(env))
    return {measure.name: measure for measure in found}


def known() -> dict[str, str]:
    """Every measure that there could be, with what would have to give it."""
    givers = [
        (_of_hosts(), "a host"),
        ([*_of_postgres([]), _REPLICATION], "a PostgreSQL (with a replica, for its lag) that Mainstay runs"),
        (_of_redis(0), "a Redis that Mainstay runs"),
        (_of_units(), "a service with processes"),
        ([_LOGS], "a service whose log is looked at, by logs.patterns"),
        (_of_services(()), "a service in monitoring.metrics"),
    ]
    return {measure.name: giver for found, giver in givers for measure in found}


def _of_hosts() -> list[Measure]:
    return [
        Measure(
            "cpu_pct",
            "Cpu",
            "CPU in use, of all cores together",
            ("host",),
            # By all modes: a rate whose five minutes are not full yet is too low, and would read as no idleness.
            '100 * (1 - sum by (host) (rate(node_cpu_seconds_total{job="node",mode="idle"}[5m])) / '
            'sum by (host) (rate(node_cpu_seconds_total{job="node"}[5m])))',
            ("node_cpu_seconds_total",),
            "node",
        ),
        Measure(
            "memory_pct",
            "Memory",
            "memory in use, without what the kernel can give back",
            ("host",),
            '100 * (1 - max by (host) (node_memory_MemAvailable_bytes{job="node"} / '
            'node_memory_MemTotal_bytes{job="node"}))',
            ("node_memory_MemAvailable_bytes", "node_memory_MemTotal_bytes"),
            "node",
        ),
        Measure("disk_pct", "Disk", "disk in use", ("host", "mountpoint"), _disk(""), _DISK, "node"),
    ]


def _disk(matchers: str) -> str:
    these = f'{{job="node",{REAL_DISKS}{matchers}}}'
    ratio = f"node_filesystem_avail_bytes{these} / node_filesystem_size_bytes{these}"
    return f"100 * (1 - max by (host, mountpoint) ({ratio}))"


def _disk_of_postgres(hosts: list[str]) -> str:
    """Of the deepest file system on the way to the clusters' folder: they are on no other."""
    found, deeper = [], []
    for mount in _POSTGRES_MOUNTS:
        of = f',host=~"{"|".join(hosts)}",mountpoint=~"{mount}"'
        found.append(" unless on (host) ".join([f"({_disk(of)})", *deeper]))
        deeper.append(f'node_filesystem_size_bytes{{job="node",{REAL_DISKS},mountpoint=~"{mount}"}}')
    return " or ".join(f"({one})" for one in found)


def _of_services(with_a_pool: tuple[str, ...]) -> list[Measure]:
    requests, of = 'http_requests_total{job="services"', ("service",)
    failed = f'rate({requests},status=~"5.."}}[5m]) or rate({requests},code=~"5.."}}[5m])'
    every = f"sum by (service) (rate({requests}}}[5m]))"
    return [
        Measure(
            "error_rate_pct",
            "ErrorRate",
            "requests that the service failed (5xx)",
            of,
            f"100 * (sum by (service) ({failed}) or 0 * {every}) / ({every} > 0)",
            ("http_requests_total",),
            "services",
        ),
        Measure(
            "request_rate_per_min",
            "RequestRate",
            "requests",
            of,
            f"60 * sum by (service) (rate({requests}}}[1m]))",
            ("http_requests_total",),
            "services",
        ),
        *(_latency(percent) for percent in (95, 99)),
        Measure(
            "db_connection_errors_per_s",
            "DatabaseConnectionErrors",
            "connections to the database that failed",
            of,
            'sum by (service) (rate(db_connection_errors_total{job="services"}[5m]))',
            ("db_connection_errors_total",),
            "services",
            givers=with_a_pool,
        ),
    ]


def _with_a_pool(env: Environment) -> tuple[str, ...]:
    """The measured services that connect to a database."""
    return tuple(sorted({s.name for host in env.hosts.values() for s in measured_services(env, host) if s.pool}))


def _latency(percent: int) -> Measure:
    metric = "http_request_duration_seconds_bucket"
    buckets = f'sum by (le, service) (rate({metric}{{job="services"}}[5m]))'
    return Measure(
        f"p{percent}_ms",
        f"LatencyP{percent}",
        f"time within which {percent} of 100 requests are answered",
        ("service",),
        f"1000 * histogram_quantile(0.{percent}, {buckets})",
        (metric,),
        "services",
    )


def _of_postgres(hosts: list[str]) -> list[Measure]:
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
            _DISK,
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


_REPLICATION = Measure(
    "replication_lag_s",
    "ReplicationLag",
    "that a replica is behind",
    ("host",),
    "max by (host) (mainstay_replication_lag_seconds)",
    ("mainstay_replication_lag_seconds",),
    "postgres",
)


def _of_units() -> list[Measure]:
    """Of each instance by its control group; what has no MemoryMax has no share of it."""
    of = ("service", "host", "unit")
    cores = 'count by (host) (node_cpu_seconds_total{job="node",mode="idle"})'
    memory, limit = (f'{name}{{job="node"}}' for name in (collected.MEMORY, collected.MEMORY_MAX))
    return [
        Measure(
            "unit_cpu_pct",
            "UnitCpu",
            "CPU in use by one unit, of all cores together",
            of,
            f'100 * sum by (service, host, unit) (rate({collected.CPU}{{job="node"}}[5m])) '
            f"/ on (host) group_left () {cores}",
            (),
            "node",
        ),
        Measure(
            "unit_memory_pct",
            "UnitMemory",
            "of MemoryMax in use, without what the kernel can give back",
            of,
            f"100 * max by (service, host, unit) ({memory} / {limit})",
            (),
            "node",
        ),
    ]


_LOGS = Measure(
    "log_patterns_per_min",
    "LogPattern",
    "entries of the log that match",
    ("service", "host", "pattern"),
    f'60 * sum by (service, host, pattern) (rate({collected.LOGGED}{{job="node"}}[5m]))',
    (),
    "node",
)


def _of_redis(maxclients: int) -> list[Measure]:
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
