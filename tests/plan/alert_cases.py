"""For every alert what makes it fire and what must not: series for `promtool test rules`.

A case is judged at three moments: just before the rule's duration is over (silent), when it is (firing), and on series
that stay on the right side of the limit (silent all along).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from deploys.components.monitoring import collected
from deploys.components.monitoring.exporters import has_postgres
from deploys.components.monitoring.measure import Measure
from deploys.components.monitoring.measures import measures
from deploys.components.monitoring.rule import Rule
from deploys.components.monitoring.targets import jobs
from deploys.components.redis import model as redis
from mainstay.inventory import Environment

STEP = 15
"""Seconds between two samples, and between two evaluations."""
HOST, SERVICE = 'host="h"', 'service="api"'
BY_THRESHOLDS = ("critical", "warning")


@dataclass(frozen=True)
class Series:
    """Samples every 15 s: `start`, then `by` more each time."""

    name: str
    start: float
    by: float = 0.0

    def as_yaml(self, seconds: float) -> dict[str, str]:
        return {"series": self.name, "values": f"{self.start:.9g}{self.by:+.9g}x{int(seconds) // STEP + 2}"}


@dataclass(frozen=True)
class Case:
    """What makes a rule true from `after` seconds on, and what never does."""

    fires: list[Series]
    calm: list[Series]
    after: float = 0.0


Maker = Callable[[float], list[Series]]


def steady(name: str, value: float) -> Series:
    return Series(name, value)


def rising(name: str, per_second: float) -> Series:
    return Series(name, 0.0, per_second * STEP)


def _cpu(value: float) -> list[Series]:
    """Four cores: one of them busy, the others as busy as they must be for the mean (DF-36: not of one core)."""
    found = []
    for cpu, busy in enumerate([100.0, *[(4 * value - 100.0) / 3] * 3]):
        for mode, share in (("idle", 100 - busy), ("user", busy * 0.9), ("system", busy * 0.1)):
            found.append(rising(f'node_cpu_seconds_total{{job="node",{HOST},mode="{mode}",cpu="{cpu}"}}', share / 100))
    return found


def _memory(value: float) -> list[Series]:
    """The page cache fills what is left, and does not count (DF-34)."""
    total = 8e9
    return [
        steady(f'node_memory_MemTotal_bytes{{job="node",{HOST}}}', total),
        steady(f'node_memory_MemAvailable_bytes{{job="node",{HOST}}}', total * (1 - value / 100)),
        steady(f'node_memory_MemFree_bytes{{job="node",{HOST}}}', total * 0.001),
    ]


def _disk(value: float, host: str = "h") -> list[Series]:
    """What is free for root alone does not count, nor does a full tmpfs (DF-35)."""
    real = f'{{job="node",host="{host}",mountpoint="/var",device="/dev/vda1",fstype="ext4"}}'
    run = f'{{job="node",host="{host}",mountpoint="/run",device="tmpfs",fstype="tmpfs"}}'
    return [
        steady(f"node_filesystem_size_bytes{real}", 1e10),
        steady(f"node_filesystem_avail_bytes{real}", 1e10 * (1 - value / 100)),
        steady(f"node_filesystem_free_bytes{real}", 1e10 * (1.05 - value / 100)),
        steady(f"node_filesystem_size_bytes{run}", 1e6),
        steady(f"node_filesystem_avail_bytes{run}", 0),
    ]


def _disk_of_database(value: float, host: str) -> list[Series]:
    """On a disk of its own; that of the system beside it is full, and another host's is not asked."""
    own = f'{{job="node",host="{host}",mountpoint="/var/lib/postgresql/15",device="/dev/vdb1",fstype="ext4"}}'
    return [
        steady(f"node_filesystem_size_bytes{own}", 1e10),
        steady(f"node_filesystem_avail_bytes{own}", 1e10 * (1 - value / 100)),
        *(series for name in (host, "other") for series in _disk(99.9, name)),
    ]


def requests(per_second: float, failed_pct: float) -> list[Series]:
    """On two hosts, one label for the status each: what counts is the service's sum (DF-28, DF-29)."""
    found = []
    for instance, label, share in (("one", "status", 0.25), ("two", "code", 0.75)):
        of = f'{{job="services",{SERVICE},instance="{instance}",method="GET"'
        found.append(rising(f'http_requests_total{of},{label}="200"}}', share * per_second * (1 - failed_pct / 100)))
        found.append(rising(f'http_requests_total{of},{label}="503"}}', share * per_second * failed_pct / 100))
    return found


def _latency(percent: int) -> Maker:
    """All requests in one bucket, whose bound is where the quantile lands; another instance is empty (DF-33)."""

    def series(value: float) -> list[Series]:
        bound = value / 1000 / (percent / 100)
        of = f'http_request_duration_seconds_bucket{{job="services",{SERVICE}'
        busy = [rising(f'{of},instance="one",le="{le}"}}', 5) for le in (f"{bound:.9g}", "+Inf")]
        idle = [steady(f'{of},instance="two",le="{le}"}}', 7) for le in (f"{bound:.9g}", "+Inf")]
        return busy + idle

    return series


def _connections(value: float) -> list[Series]:
    of = f'{{job="postgres",{HOST}'
    return [
        steady(f'pg_stat_database_numbackends{of},datname="a"}}', value - 3),
        steady(f'pg_stat_database_numbackends{of},datname="b"}}', 3),
        steady(f'pg_settings_max_connections{of},server="s"}}', 100),
    ]


def _transactions(value: float) -> list[Series]:
    of = f'{{job="postgres",{HOST},datname="a"}}'
    return [
        rising(f"mainstay_database_active_seconds{of}", 10 * value / 1000),
        rising(f"pg_stat_database_xact_commit{of}", 9),
        rising(f"pg_stat_database_xact_rollback{of}", 1),
    ]


def _blocks(value: float) -> list[Series]:
    of = f'{{job="postgres",{HOST},datname="a"}}'
    return [
        rising(f"pg_stat_database_blks_hit{of}", 10 * value),
        rising(f"pg_stat_database_blks_read{of}", 10 * (100 - value)),
    ]


def _keys(value: float) -> list[Series]:
    of = f'{{job="redis",{HOST}}}'
    return [rising(f"redis_keyspace_hits_total{of}", value), rising(f"redis_keyspace_misses_total{of}", 100 - value)]


def _redis(used: str, of_all: str) -> Maker:
    at = f'{{job="redis",{HOST}}}'
    return lambda value: [steady(f"{used}{at}", value * 1e4), steady(f"{of_all}{at}", 1e6)]


def _clients(value: float, most: int = 1000) -> list[Series]:
    return [steady(f'redis_connected_clients{{job="redis",{HOST}}}', value / 100 * most)]


UNIT = f'job="node",{HOST},{SERVICE},unit="x-api@'


def _unit_cpu(value: float) -> list[Series]:
    """Of four cores, beside a unit that does half as much (DF-36)."""
    cores = [rising(f'node_cpu_seconds_total{{job="node",{HOST},mode="idle",cpu="{cpu}"}}', 0.1) for cpu in range(4)]
    of = f"mainstay_unit_cpu_seconds_total{{{UNIT}"
    units = [rising(f'{of}{port}.service"}}', 4 * value * share / 100) for port, share in (("1", 1), ("2", 0.5))]
    return [*cores, *units]


def _unit_memory(value: float) -> list[Series]:
    """Beside a unit without a limit, which has no share of one."""
    used, limit = ("mainstay_unit_memory_working_set_bytes", "mainstay_unit_memory_max_bytes")
    return [
        steady(f'{used}{{{UNIT}1.service"}}', value * 1e6),
        steady(f'{limit}{{{UNIT}1.service"}}', 1e8),
        steady(f'{used}{{{UNIT}2.service"}}', 1e9),
    ]


MAKERS: dict[str, tuple[Maker, float]] = {
    "cpu_pct": (_cpu, STEP),
    "memory_pct": (_memory, 0),
    "disk_pct": (_disk, 0),
    "error_rate_pct": (lambda value: requests(20, value), STEP),
    "request_rate_per_min": (lambda value: requests(value / 60, 0), 60),
    "p95_ms": (_latency(95), STEP),
    "p99_ms": (_latency(99), STEP),
    "db_connection_errors_per_s": (
        lambda value: [
            rising(f'db_connection_errors_total{{job="services",{SERVICE},instance="{one}"}}', value / 2)
            for one in ("one", "two")
        ],
        300,
    ),
    "db_pool_pct": (_connections, 0),
    "db_query_ms": (_transactions, STEP),
    "db_disk_pct": (_disk, 0),
    "db_cache_hit_pct": (_blocks, STEP),
    "unit_cpu_pct": (_unit_cpu, 300),
    "unit_memory_pct": (_unit_memory, 0),
    "log_patterns_per_min": (
        lambda value: [
            rising(f'log_pattern_total{{job="node",{HOST},{SERVICE},pattern="{pattern}"}}', share * value / 60)
            for pattern, share in (("ERROR", 1), ("other", 0.05))
        ],
        300,
    ),
    "replication_lag_s": (
        lambda value: [steady(f'mainstay_replication_lag_seconds{{job="postgres",{HOST}}}', value)],
        0,
    ),
    "redis_memory_pct": (_redis("redis_memory_used_bytes", "redis_memory_max_bytes"), 0),
    "redis_connections_pct": (_clients, 0),
    "redis_evictions_per_s": (
        lambda value: [rising(f'redis_evicted_keys_total{{job="redis",{HOST}}}', value)],
        300,
    ),
    "cache_hit_pct": (_keys, STEP),
}
"""For each measure what makes it a value, and after how many seconds: shares of rates are right from the second sample
on, a rate itself when its time is full."""


def of_limit(measure: Measure, limit: float, databases: str = "h", clients: int = 1000) -> Case:
    """The limit, one percent beyond it, and one percent short of it.

    Args:
        measure: what is measured.
        limit: of the rule.
        databases: a host that has a database.
        clients: maxclients of Redis.
    """
    maker = maker_of(measure.name, databases, clients)
    beyond, short = (0.99, 1.01) if measure.falls else (1.01, 0.99)
    return Case(maker(limit * beyond), maker(limit * short), MAKERS[measure.name][1])


def maker_of(name: str, databases: str = "h", clients: int = 1000) -> Maker:
    """What makes the measure a value in an environment with that database host and maxclients of Redis."""
    if name == "db_disk_pct":
        return partial(_disk_of_database, host=databases)
    return partial(_clients, most=clients) if name == "redis_connections_pct" else MAKERS[name][0]


def _up(job: str, value: float, more: str = "") -> Series:
    return steady(f'up{{job="{job}",{HOST}{more}}}', value)


def _events(hosts: dict[str, int]) -> dict[tuple[str, str, str], Case]:
    """By alert, severity and what else tells rules apart; `hosts` is the number of targets of each job."""
    health = 'probe_success{job="health",host="h",service="api",check="/health"}'
    tls = 'probe_ssl_earliest_cert_expiry{job="tls",host="h",site="watched.test"}'
    disk = 'job="node",host="h",mountpoint="/data",device="d",fstype='
    unit = 'node_systemd_unit_state{job="node",host="h",name="x.service",state='
    backup = 'mainstay_backup_success_timestamp_seconds{job="node",host="h",target='
    failures = 'prometheus_rule_evaluation_failures_total{job="prometheus",host="h",rule_group="g"}'
    refused = 'alertmanager_notifications_failed_total{job="alertmanager",host="h",integration="slack"}'
    config = "config_last_reload_successful"
    falls = Series(f'node_filesystem_avail_bytes{{{disk}"ext4"}}', 4e9, -1e6)
    size = steady(f'node_filesystem_size_bytes{{{disk}"ext4"}}', 1e10)
    cases = {
        ("HostDown", "critical", ""): Case([_up("node", 0)], [_up("node", 1), _up("nginx", 0)]),
        ("FilesystemReadOnly", "critical", ""): Case(
            [steady(f'node_filesystem_readonly{{{disk}"ext4"}}', 1)],
            [
                steady(f'node_filesystem_readonly{{{disk}"ext4"}}', 0),
                steady(f'node_filesystem_readonly{{{disk}"squashfs"}}', 1),
            ],
        ),
        # A quarter of what would fill it within the day, and what grows on a disk that is still more than half empty.
        ("DiskFills", "warning", ""): Case(
            [falls, size],
            [
                Series(falls.name, 4e9, -1e5),
                size,
                Series(f'node_filesystem_avail_bytes{{{disk}"xfs"}}', 9e9, -1.8e6),
                steady(f'node_filesystem_size_bytes{{{disk}"xfs"}}', 1e10),
            ],
            STEP,
        ),
        ("UnitFailed", "critical", ""): Case(
            [steady(f'{unit}"failed"}}', 1)], [steady(f'{unit}"failed"}}', 0), steady(f'{unit}"active"}}', 1)]
        ),
        ("TargetDown", "critical", ""): Case(
            [_up("nginx", 0)], [_up("nginx", 1), _up("services", 0), _up("node", 0), _up("health", 0)]
        ),
        # Nobody knows; where the exporter that asks is itself away, that is what is told.
        ("ProbeFails", "critical", ""): Case(
            [_up("health", 0), steady('up{job="blackbox",host="m"}', 1), steady(health, 1)],
            [_up("tls", 0), steady('up{job="blackbox",host="m"}', 0), steady(health, 0)],
        ),
        ("ServiceDown", "critical", ""): Case([steady(health, 0)], [steady(health, 1)]),
        ("DatabaseDeadlocks", "warning", ""): Case(
            [rising('pg_stat_database_deadlocks{job="postgres",host="h",datname="a"}', 0.01)],
            [steady('pg_stat_database_deadlocks{job="postgres",host="h",datname="a"}', 7)],
            STEP,
        ),
        ("SiteDown", "critical", ""): Case(
            [steady('probe_success{job="tls",host="h",site="s"}', 0)],
            [steady('probe_success{job="tls",host="h",site="s"}', 1), steady(health, 0)],
        ),
        ("SiteFails", "critical", ""): Case(
            [steady('probe_success{job="sites",host="h",site="s",service="api",check="/"}', 0)],
            [
                steady('probe_success{job="sites",host="h",site="s",service="api",check="/"}', 1),
                steady('probe_success{job="tls",host="h",site="s"}', 0),
                steady(health, 0),
            ],
        ),
        ("CertificateEnds", "warning", ""): Case([steady(tls, 20.9 * 86400)], [steady(tls, 22 * 86400)]),
        ("CertificateEnds", "critical", ""): Case([steady(tls, 6.9 * 86400)], [steady(tls, 8 * 86400)]),
        ("BackupOld", "critical", ""): Case(
            [steady(f'{backup}"postgres"}}', -26.1 * 3600)], [steady(f'{backup}"postgres"}}', -19 * 3600)]
        ),
        ("RuleFails", "critical", ""): Case([rising(failures, 0.1)], [steady(failures, 3)], STEP),
        ("ConfigRefused", "critical", ""): Case(
            [steady(f'prometheus_{config}{{job="prometheus",host="h"}}', 0)],
            [steady(f'{one}_{config}{{job="{one}",host="h"}}', 1) for one in ("prometheus", "alertmanager")],
        ),
        ("NotificationsFail", "critical", ""): Case([rising(refused, 0.1)], [steady(refused, 3)], STEP),
    }
    for alert, up, job in (("PostgresDown", "pg_up", "postgres"), ("RedisDown", "redis_up", "redis")):
        of = f'{up}{{job="{job}",{HOST}}}'
        cases[alert, "critical", ""] = Case([steady(of, 0)], [steady(of, 1)])
    cases["NginxDown", "critical", ""] = Case(
        [steady(f'nginx_up{{job="nginx",{HOST}}}', 0)], [steady(f'nginx_up{{job="nginx",{HOST}}}', 1)]
    )
    for target in ("postgres", "redis", "scylla"):
        other = "redis" if target == "postgres" else "postgres"
        there = [steady(f'{backup}"{target}"}}', 0)]
        cases["BackupMissing", "critical", target] = Case([steady(f'{backup}"{other}"}}', 0)], there)
    for job, count in hosts.items():
        asked = [steady(f'up{{job="{job}",host="{number}"}}', 0) for number in range(count)]
        cases["TargetsMissing", "critical", job] = Case([_up("other", 1), *asked[1:]], asked)
    return cases


_HEALTH = 'probe_success{job="health",host="h",service="api",check="/health"}'
_REPLICAS = 'mainstay_replication_replicas{job="postgres",host="h"}'


def of_failures(times: int) -> Case:
    """So many minutes that failed fire, one fewer does not (MT-42): no duration, the expression counts."""
    return Case([steady(_HEALTH, 0)], [steady(_HEALTH, 1)], 60 * (times - 1))


def of_instances(service: str, count: int) -> Case:
    """One instance fewer than there should be, among those of both slots; and as many."""

    def up(slot: str, number: int, value: float) -> Series:
        return steady(f'up{{job="services",host="h",service="{service}",slot="{slot}",instance="{number}"}}', value)

    waiting = [up("green", number, 0) for number in range(count)]
    running = [up("blue", number, 1) for number in range(count)]
    return Case([*waiting, *running[1:], up("blue", 0, 0)], [*waiting, *running])


STATUS = {"http_requests_total": (',status_code="500"', ',code="200"')}
"""What a metric must be labelled with, and what is as good as no label."""


def of_metric(metric: str, measure: Measure) -> Case:
    """A target that answers and says nothing of a metric, beside one that does, or of which nobody expects it."""
    own, other = (SERVICE, 'service="other"') if measure.job == "services" else (HOST, 'host="other"')
    if measure.givers:
        own, other = f'service="{measure.givers[0]}"', 'service="without"'
    wrong, right = STATUS.get(metric, ("", ""))

    def says(of: str, labels: str) -> Series:
        return steady(f'{metric}{{job="{measure.job}",{of}{labels}}}', 1)

    up = [steady(f'up{{job="{measure.job}",{of}}}', 1) for of in (own, other)]
    beside = [] if measure.givers else [says(other, right)]
    return Case([*up, *beside, *([says(own, wrong)] if wrong else [])], [*up, *beside, says(own, right)])


def of_counts(hosts: Sequence[str]) -> Case:
    """Counts of one host that stand still, beside those of others; and all as new as each look at them."""
    path = 'file="/var/lib/prometheus/node-exporter/service-measures.prom"'

    def counted(host: str, by: float) -> Series:
        return Series(f'node_textfile_mtime_seconds{{job="node",host="{host}",{path}}}', 0, by)

    there = [steady(f'up{{job="node",host="{host}"}}', 1) for host in hosts]
    stands = [counted(host, STEP if at else 0) for at, host in enumerate(hosts)]
    return Case([*there, *stands], [*there, *(counted(host, STEP) for host in hosts)], 300)


def of_loss(up: str, job: str, hosts: str) -> Case:
    """One of the hosts whose loss it is; and another one, which follows it (MT-44, MT-45).

    The exporter that is away is as good as a database that is: nobody knows.
    """
    own = hosts.split("|", maxsplit=1)[0]
    there = [steady(f'{one}{{job="{job}",host="{own}"}}', 1) for one in ("up", up)]
    away = [steady(f'{one}{{job="{job}",host="follower"}}', 0) for one in ("up", up)]
    return Case([steady(f'up{{job="{job}",host="{own}"}}', 0)], [*there, *away])


def of_event(rule: Rule, targets: dict[str, int], given: dict[str, Measure]) -> Case:
    """The case of a rule that is about no limit; KeyError where nobody wrote one."""
    if rule.alert == "MetricMissing":
        metric = rule.about["metric"]
        return of_metric(metric, given[metric])
    if rule.alert == "ServiceDown" and rule.severity not in BY_THRESHOLDS:
        return of_failures(int(rule.expr.split()[-1]))
    if rule.alert == "ReplicasMissing":
        count = int(rule.expr.split()[-1])
        return Case([steady(_REPLICAS, count - 1)], [steady(_REPLICAS, count)])
    lost = re.fullmatch(r'\((\w+)\{host=~"([^"]+)"\} == 0\) or \(up\{job="(\w+)",.*', rule.expr)
    if lost:
        return of_loss(lost[1], lost[3], lost[2])
    return _events(targets)[rule.alert, rule.severity, "".join(rule.about.values())]


def case_of(env: Environment, rule: Rule) -> Case:
    """The case of a rule, by its measure and limit, or by its name."""
    for measure in measures(env).values():
        if rule.expr.startswith(f"{measure.recorded} "):
            databases = [host.name for host in env.hosts.values() if has_postgres(env, host)]
            clients = redis.section(env).maxclients if "redis" in env.sections else 1000
            return of_limit(measure, float(rule.expr.split()[-1]), next(iter(databases), "h"), clients)
    if rule.alert == "InstancesMissing":
        service = rule.about["service"]
        return of_instances(service, env.services[service].instances.base)
    if rule.alert == "ServicesNotMeasured":
        return of_counts([host.name for host in env.hosts.values() if collected.measured(env, host)])
    targets = {job.name: len(job.targets) for job in jobs(env)}
    given = {metric: measure for measure in measures(env).values() for metric in measure.metrics}
    return of_event(rule, targets, given)
