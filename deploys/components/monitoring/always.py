"""Rules that no inventory has to ask for: what is down, what is missing, what ends soon, and the watchers too."""

from __future__ import annotations

from pathlib import Path

from deploys.components.monitoring import collected
from deploys.components.monitoring.exporters import measured_services
from deploys.components.monitoring.measures import measures
from deploys.components.monitoring.measures_host import REAL_DISKS
from deploys.components.monitoring.rule import Group, Rule, duration
from deploys.components.monitoring.section import CRITICAL, WARNING, section
from deploys.components.monitoring.targets import jobs
from mainstay.inventory import Environment

BACKUP = "mainstay_backup_success_timestamp_seconds"
"""What a backup leaves for the node exporter when it has been proven: the time, labelled with its `target`."""

_HOST = "{{ $labels.host }}"
_SAID_BY = {"http_requests_total": (',status=~"[1-5].."', ',code=~"[1-5].."')}
"""Labels without one of which a metric says too little: requests without their status would read as no failure."""


def always(env: Environment, told: set[str]) -> list[Group]:
    """The groups, each with a rule at least.

    Args:
        told: names of measures that the inventory has a rule about.
    """
    found = {
        "hosts": _hosts(env),
        "targets": _targets(env),
        "metrics": _metrics(env, told),
        "services": _services(env),
        "measures": _measures(env),
        "databases": _databases(env),
        "certificates": _certificates(env),
        "sites": _sites(env),
        "backups": _backups(env),
        "watchers": _watchers(),
    }
    return [Group(name, rules) for name, rules in found.items() if rules]


def _hosts(env: Environment) -> list[Rule]:
    disks = f'{{job="node",{REAL_DISKS}}}'
    within = section(env).disk_full_within
    avail, size = f"node_filesystem_avail_bytes{disks}", f"node_filesystem_size_bytes{disks}"
    fills = f"predict_linear({avail}[6h], {within:g}) < 0 and {avail} / {size} < 0.5"
    full = f"{_HOST}: {{{{ $labels.mountpoint }}}} is full within {duration(within)} if it goes on like this"
    failed = 'node_systemd_unit_state{job="node",state="failed"} == 1'
    read_only = f"{_HOST}: {{{{ $labels.mountpoint }}}} cannot be written to"
    return [
        Rule("HostDown", 'up{job="node"} == 0', CRITICAL, 120, f"{_HOST} does not answer"),
        Rule("FilesystemReadOnly", f"node_filesystem_readonly{disks} == 1", CRITICAL, 120, read_only),
        Rule("DiskFills", fills, WARNING, 1800, full),
        Rule("UnitFailed", failed, CRITICAL, 120, f"{_HOST}: {{{{ $labels.name }}}} has failed"),
    ]


def _targets(env: Environment) -> list[Rule]:
    """What is not there cannot be `up == 0` (DF-32): the targets of each job are counted."""
    every = jobs(env)
    probed = [job.name for job in every if job.probed]
    down = f'up{{job!~"{"|".join(["node", "services", *probed])}"}} == 0'
    found = [Rule("TargetDown", down, CRITICAL, 120, f"{_HOST}: the exporter of {{{{ $labels.job }}}} does not answer")]
    for job in every:
        count = len(job.targets)
        expr = f'(count(up{{job="{job.name}"}}) or vector(0)) < {count}'
        summary = f"{job.name}: {{{{ $value }}}} of {count} targets are asked"
        found.append(Rule("TargetsMissing", expr, CRITICAL, 300, summary, about={"job": job.name}))
    if probed:
        # Not that something is down, but that nobody knows: the blackbox exporter answers, and did not ask.
        unknown = f'up{{job=~"{"|".join(probed)}"}} == 0 and on () up{{job="blackbox"}} == 1'
        summary = f"{_HOST}: its probe {{{{ $labels.job }}}} cannot be made, so nobody knows how it is"
        found.append(Rule("ProbeFails", unknown, CRITICAL, 300, summary))
    return found


def _metrics(env: Environment, told: set[str]) -> list[Rule]:
    """A rule whose metric a target does not give would be silent for ever."""
    there = {job.name for job in jobs(env)}
    wanted = {m: one for one in measures(env).values() for m in one.metrics if one.name in told or not one.givers}
    found = []
    for metric, measure in wanted.items():
        if measure.job not in there:
            continue
        # A service that nobody has asked anything says nothing of requests yet.
        of, lasts = ("service", 3600.0) if measure.job == "services" else ("host", 900.0)
        who = f'job="{measure.job}"' + (f',service=~"{"|".join(measure.givers)}"' if measure.givers else "")
        says = " or ".join(f'{metric}{{job="{measure.job}"{more}}}' for more in _SAID_BY.get(metric, ("",)))
        expr = f"count by ({of}) (up{{{who}}} == 1) unless count by ({of}) ({says})"
        summary = f"{{{{ $labels.{of} }}}} answers and says nothing of {metric}: what is made of it tells nobody"
        found.append(Rule("MetricMissing", expr, WARNING, lasts, summary, about={"metric": metric}))
    return found


def _services(env: Environment) -> list[Rule]:
    found = []
    if any(job.name == "health" for job in jobs(env)):
        summary = f"{{{{ $labels.service }}}} on {_HOST}: {{{{ $labels.check }}}} is not as it should be"
        found.append(Rule("ServiceDown", 'probe_success{job="health"} == 0', CRITICAL, 60, summary))
    measured = {s.name: s for host in env.hosts.values() for s in measured_services(env, host)}
    for service in measured.values():
        count = service.instances.base
        expr = f'sum by (service, host) (up{{job="services",service="{service.name}"}}) < {count}'
        summary = f"{{{{ $labels.service }}}} on {_HOST}: {{{{ $value }}}} of {count} instances answer"
        found.append(Rule("InstancesMissing", expr, CRITICAL, 120, summary, about={"service": service.name}))
    return found


def _measures(env: Environment) -> list[Rule]:
    """Counts that stand still look as if nothing were wrong: their file's age tells, and whether it is there."""
    hosts = [host.name for host in env.hosts.values() if collected.measured(env, host)]
    if not hosts:
        return []
    fresh = f'time() - node_textfile_mtime_seconds{{job="node",file=~".*/{Path(collected.FOUND).name}"}} < 300'
    expr = f'up{{job="node",host=~"{"|".join(hosts)}"}} == 1 unless on (host) ({fresh})'
    summary = f"{_HOST}: nobody measures what services log and what their units use"
    return [Rule("ServicesNotMeasured", expr, WARNING, 300, summary)]


def _databases(env: Environment) -> list[Rule]:
    there = {job.name for job in jobs(env)}
    found = []
    for job, up, name in (
        ("postgres", "pg_up", "Postgres"),
        ("redis", "redis_up", "Redis"),
        ("nginx", "nginx_up", "Nginx"),
    ):
        if job in there:
            found.append(Rule(f"{name}Down", f"{up} == 0", CRITICAL, 60, f"{_HOST}: {job} does not answer"))
    if "postgres" in there:
        locked = "increase(pg_stat_database_deadlocks[10m]) > 0"
        summary = f"{_HOST}: transactions of {{{{ $labels.datname }}}} have blocked each other"
        found.append(Rule("DatabaseDeadlocks", locked, WARNING, 0, summary))
    replicas = len(env.hosts_of("db_replica"))
    if "postgres" in there and replicas:
        # A replica that is cut off is in no view of the primary, and its lag in none of its own.
        expr = f"max(mainstay_replication_replicas) < {replicas}"
        summary = f"{{{{ $value }}}} of {replicas} replicas follow the primary"
        found.append(Rule("ReplicasMissing", expr, CRITICAL, 120, summary))
    return found


def _certificates(env: Environment) -> list[Rule]:
    if all(job.name != "tls" for job in jobs(env)):
        return []
    days, left = section(env).certificate_days, '(probe_ssl_earliest_cert_expiry{job="tls"} - time()) / 86400'
    summary = f"{_HOST}: the certificate of {{{{ $labels.site }}}} ends in {{{{ $value | printf `%.1f` }}}} days"
    return [
        Rule("SiteDown", 'probe_success{job="tls"} == 0', CRITICAL, 120, f"{_HOST}: no TLS for {{{{ $labels.site }}}}"),
        Rule("CertificateEnds", f"{left} < {days.warn}", WARNING, 600, summary),
        Rule("CertificateEnds", f"{left} < {days.crit}", CRITICAL, 600, summary),
    ]


def _sites(env: Environment) -> list[Rule]:
    """As clients ask: what is wrong between a site and its service is in no other probe. Maintenance is told, too."""
    if all(job.name != "sites" for job in jobs(env)):
        return []
    summary = f"{_HOST}: {{{{ $labels.site }}}}{{{{ $labels.check }}}} is not answered as it should be"
    return [Rule("SiteFails", 'probe_success{job="sites"} == 0', CRITICAL, 120, summary)]


def _backups(env: Environment) -> list[Rule]:
    backup = env.common.backup
    if backup is None:
        return []
    hours = backup.verify.freshness_h
    old = f"(time() - max by (target) ({BACKUP})) / 3600 > {hours}"
    summary = (
        f"the last backup of {{{{ $labels.target }}}} is {{{{ $value | printf `%.0f` }}}} hours old, above {hours}"
    )
    found = [Rule("BackupOld", old, CRITICAL, 300, summary)]
    for target in backup.targets:
        missing = f"no host knows of a backup of {target}"
        expr = f'absent({BACKUP}{{target="{target}"}})'
        found.append(Rule("BackupMissing", expr, CRITICAL, 1800, missing, about={"target": target}))
    return found


def _watchers() -> list[Rule]:
    # Prometheus needs 5 s to find Alertmanager: what it tells before, nobody hears, and it tells again after a minute.
    return [
        Rule("Watchdog", "vector(1)", "none", 10, "always here: where it is not heard, nobody is told of anything"),
        Rule(
            "RuleFails",
            "increase(prometheus_rule_evaluation_failures_total[5m]) > 0",
            CRITICAL,
            300,
            f"{_HOST}: rules of {{{{ $labels.rule_group }}}} cannot be evaluated",
        ),
        Rule(
            "ConfigRefused",
            "prometheus_config_last_reload_successful == 0 or alertmanager_config_last_reload_successful == 0",
            CRITICAL,
            300,
            f"{_HOST}: {{{{ $labels.job }}}} goes on with its old configuration",
        ),
        Rule(
            "NotificationsFail",
            "sum by (host, integration) (increase(alertmanager_notifications_failed_total[5m])) > 0",
            CRITICAL,
            300,
            f"{_HOST}: {{{{ $labels.integration }}}} takes no notifications",
        ),
    ]
