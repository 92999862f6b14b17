"""The numbers of each runbook, word for word: what its inventory makes of them is compared with these tables."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from deploys.components.monitoring import files
from deploys.components.monitoring.rule import Rule
from deploys.components.monitoring.rules import groups
from tests.plan import alert_cases
from tests.plan.alert_judge import as_test, deployed, firing, judged, question
from tests.plan.promtool import run

# A measure of a runbook: a value that is well, one that warns, one that is critical, and what to do.
Table = dict[str, tuple[tuple[float, float, float], str, str]]
TOEIC: Table = {
    "cpu_pct": ((69, 71, 86), "Cpu", "scale_up"),
    "memory_pct": ((79, 81, 91), "Memory", "restart_one_instance"),
    "disk_pct": ((74, 76, 86), "Disk", "clean_logs_backups"),
    "p95_ms": ((190, 210, 510), "LatencyP95", "check_cache_db"),
    "error_rate_pct": ((0.9, 1.1, 5.1), "ErrorRate", "investigate_logs"),
    "cache_hit_pct": ((91, 89, 79), "CacheHits", "warm_cache"),
}
EVERYDAYAI: Table = {
    "p95_ms": ((490, 510, 1010), "LatencyP95", "check_db_cache"),
    "error_rate_pct": ((0.9, 1.1, 5.1), "ErrorRate", "check_logs_deployments"),
    "request_rate_per_min": ((9999, 10001, 50001), "RequestRate", "scale_and_rate_limit"),
    "cpu_pct": ((69, 71, 91), "Cpu", "scale"),
    "memory_pct": ((79, 81, 96), "Memory", "check_leaks_restart"),
    "db_pool_pct": ((69, 71, 91), "DatabaseConnections", "check_pool_budget"),
    "db_query_ms": ((99, 101, 501), "DatabaseQueryTime", "analyse_and_index"),
    "db_disk_pct": ((79, 81, 96), "DatabaseDisk", "archive_or_grow"),
    "redis_memory_pct": ((79, 81, 96), "RedisMemory", "ttl_and_eviction"),
    "redis_connections_pct": ((79, 81, 96), "RedisConnections", "increase_limit"),
    "redis_evictions_per_s": ((99, 101, 1001), "RedisEvictions", "increase_memory"),
    "log_patterns_per_min": ((9.9, 10.1, 101), "LogPattern", "read_the_log"),
}


@pytest.mark.covers("MT-19", "MT-20", "MT-21", "MT-22", "MT-23")
@pytest.mark.covers("MT-30", "MT-31", "MT-32", "MT-33", "MT-34", "MT-37", "MT-38", "MT-39", "MT-40")
@pytest.mark.parametrize(("system", "table"), [("toeic", TOEIC), ("everydayai", EVERYDAYAI)])
def test_the_table_of_a_runbook_row_by_row(tmp_path: Path, system: str, table: Table) -> None:
    """Well, amber and red, in its own numbers; the alert says what to do. That the rules are in force is verified."""
    env, folder = deployed(system, tmp_path)
    assert set(table) == set(env.common.thresholds)
    found = {rule.alert: rule for group in groups(env) for rule in group.rules if rule.severity == "warning"}
    (database,) = env.hosts_of("db")
    for name, (values, alert, action) in table.items():
        assert found[alert].action == action
        tests = []
        for value, told in zip(values, ((0, 0), (1, 0), (1, 1)), strict=True):
            series = alert_cases.maker_of(name, database.name)(value)
            severities = zip(("warning", "critical"), told, strict=True)
            asked = [question(firing(Rule(alert, "", severity, 0, "")), 900, count) for severity, count in severities]
            tests.append(as_test(f"{name} {value}", series, asked))
        judged(folder, f"{name}.rules.yml", tests)


# EverydayAI's Alert Rules: severity, alert, how long it lasts, and how its expression ends.
RULES = {
    ("P0", "ServiceDown", 0, "[5m:1m]) >= 3"),
    ("P0", "ErrorRate", 300, "error_rate_pct > 5"),
    ("P0", "PostgresDown", 60, '(up{job="postgres",host=~"eai-db-1"} == 0)'),
    ("P0", "RedisDown", 60, '(up{job="redis",host=~"eai-cache-1"} == 0)'),
    ("P1", "LatencyP95", 600, "p95_ms > 1000"),
    ("P1", "ErrorRate", 600, "error_rate_pct > 1"),
    ("P1", "Disk", 300, "disk_pct > 95"),
    ("P1", "Memory", 300, "memory_pct > 95"),
    ("P2", "LatencyP95", 900, "p95_ms > 500"),
    ("P2", "Cpu", 900, "cpu_pct > 70"),
    ("P2", "Memory", 900, "memory_pct > 80"),
}


@pytest.mark.covers("MT-43", "MT-46", "MT-47", "MT-48", "MT-49")
def test_the_alerts_of_a_runbook_are_the_rules_of_its_severities(tmp_path: Path) -> None:
    """Every one of them and no other; when each fires is asserted for each shipped system."""
    env, _ = deployed("everydayai", tmp_path)
    own = [rule for group in groups(env) for rule in group.rules if rule.severity in env.common.severity]
    assert len(own) == len(RULES)
    for severity, alert, lasts, end in RULES:
        (rule,) = [rule for rule in own if (rule.severity, rule.alert) == (severity, alert)]
        assert (rule.for_s, rule.expr[-len(end) :]) == (lasts, end)


# What somebody is told, and when: alert, severity, when it is true, how long that lasts, who is told, and what to do.
# The numbers are the runbook's; where it has none, they are decided, as the inventory says.
Told = tuple[str, str, str, str, str, str]
FAILS = 'count_over_time((probe_success{job="health"} == 0)'
# Of the primary alone: what a replica's loss is, others tell.
LOST = '({up}{{host=~"{host}"}} == 0) or (up{{job="{job}",host=~"{host}"}} == 0)'
SUPERINSIGHT: list[Told] = [
    ("Cpu", "warning", "cpu_pct > 70", "5m", "on-call in business hours", "scale_up"),
    ("Memory", "warning", "memory_pct > 80", "5m", "on-call in business hours", ""),
    ("LatencyP95", "warning", "p95_ms > 500", "5m", "on-call in business hours", ""),
    ("HighErrorRate", "warning", "error_rate_pct > 1", "5m", "on-call in business hours", ""),
    ("HighErrorRate", "critical", "error_rate_pct > 5", "5m", "on-call", ""),
    ("ServiceDown", "critical", 'probe_success{job="health"} == 0', "1m", "on-call", ""),
]
TCHAT: list[Told] = [
    ("ServiceDown", "critical", 'probe_success{job="health"} == 0', "1m", "page", ""),
    ("ServiceDown", "P0", f"{FAILS}[2m:1m]) >= 2", "0s", "page", ""),
    ("ErrorRate", "critical", "error_rate_pct > 5", "5m", "page", ""),
    ("DatabaseConnectionErrors", "critical", "db_connection_errors_per_s > 0.1", "5m", "page", ""),
    ("LatencyP95", "warning", "p95_ms > 1000", "5m", "incidents in business hours", ""),
    ("Memory", "warning", "memory_pct > 80", "5m", "incidents in business hours", "scale_up"),
    ("UnitMemory", "warning", "unit_memory_pct > 80", "5m", "incidents in business hours", "scale_up"),
    ("Disk", "warning", "disk_pct > 85", "5m", "incidents in business hours", "clean_or_grow"),
    ("ReplicationLag", "warning", "replication_lag_s > 10", "5m", "incidents in business hours", ""),
    ("ReplicationLag", "critical", "replication_lag_s > 60", "5m", "page", ""),
    ("PostgresDown", "P0", LOST.format(up="pg_up", job="postgres", host="tchat-db-1"), "1m", "page", ""),
    ("RedisDown", "P1", LOST.format(up="redis_up", job="redis", host="tchat-redis-1"), "1m", "page", ""),
]
SPHEROSEG: list[Told] = [
    ("HighErrorRate", "warning", "error_rate_pct > 1", "5m", "webhook in support hours", "check_logs"),
    ("HighErrorRate", "critical", "error_rate_pct > 5", "5m", "webhook", "check_logs"),
    ("LatencyP95", "warning", "p95_ms > 500", "5m", "webhook in support hours", "check_logs"),
    ("LatencyP95", "critical", "p95_ms > 1000", "5m", "webhook", "check_logs"),
    ("Cpu", "warning", "cpu_pct > 70", "5m", "webhook in support hours", "scale"),
    ("Cpu", "critical", "cpu_pct > 90", "5m", "webhook", "scale"),
    ("Memory", "warning", "memory_pct > 80", "5m", "webhook in support hours", "restart_one_instance"),
    ("Memory", "critical", "memory_pct > 90", "5m", "webhook", "restart_one_instance"),
    ("Disk", "warning", "disk_pct > 80", "5m", "webhook in support hours", "clean_logs_backups"),
    ("Disk", "critical", "disk_pct > 90", "5m", "webhook", "clean_logs_backups"),
    ("ServiceDown", "critical", 'probe_success{job="health"} == 0', "1m", "webhook", ""),
    ("ServiceDown", "P1", f"{FAILS}[5m:1m]) >= 3", "0s", "webhook", ""),
    ("PostgresDown", "P1", LOST.format(up="pg_up", job="postgres", host="sph-db-1"), "1m", "webhook", ""),
    ("HighErrorRate", "P2", "error_rate_pct > 5", "5m", "webhook", ""),
    ("LatencyP95", "P2", "p95_ms > 1000", "10m", "webhook", ""),
    ("RedisDown", "P2", LOST.format(up="redis_up", job="redis", host="sph-cache-1"), "1m", "webhook", ""),
    ("HighErrorRate", "P3", "error_rate_pct > 1", "10m", "webhook in support hours", ""),
    ("LatencyP95", "P3", "p95_ms > 500", "15m", "webhook in support hours", ""),
]
# The hours of each, which are decided: name and zone, Monday to Friday from 9 to 18.
HOURS = {
    "superinsight": ("business", "Asia/Shanghai"),
    "tchat": ("business", "Asia/Singapore"),
    "spheroseg": ("support", "UTC"),
}
WORKDAYS = ["monday", "tuesday", "wednesday", "thursday", "friday"]


class Urls:
    """Secrets of which only the names matter."""

    def get(self, name: str) -> str:
        """A URL for each."""
        return f"https://hooks.test/{name}"


def rules_of(folder: Path) -> list[dict[str, Any]]:
    """What Prometheus reads of a runbook's own rules, and that a service is down, which no inventory has to ask for."""
    found = yaml.safe_load((folder / "rules.yml").read_text())["groups"]
    own = [group for group in found if group["name"] == "events" or "record" in group["rules"][0]]
    rules = [rule for group in own for rule in group["rules"] if "alert" in rule]
    services = next(group["rules"] for group in found if group["name"] == "services")
    return [*rules, *(rule for rule in services if rule["alert"] == "ServiceDown")]


def told(rule: dict[str, Any], config: Path) -> Told:
    """The row that the rule is; who is told, amtool says."""
    alert, severity = rule["alert"], rule["labels"]["severity"]
    labels = (f"alertname={alert}", f"severity={severity}")
    receiver = run("amtool", "config", "routes", "test", f"--config.file={config}", *labels).splitlines()[0]
    routes = yaml.safe_load(config.read_text())["route"]["routes"]
    (hours,) = [one.get("active_time_intervals", []) for one in routes if one["matchers"] == [f'severity="{severity}"']]
    who = f"{receiver} in {hours[0]} hours" if hours else receiver
    action = rule["annotations"].get("action", "")
    return alert, severity, rule["expr"].removeprefix("mainstay:"), rule["for"], who, action


@pytest.mark.covers("MT-01", "MT-02", "MT-03", "MT-04", "MT-05", "MT-06", "MT-08", "MT-09")
@pytest.mark.parametrize(
    ("system", "table"), [("superinsight", SUPERINSIGHT), ("tchat", TCHAT), ("spheroseg", SPHEROSEG)]
)
def test_a_runbook_s_alerts_are_these_and_no_other(tmp_path: Path, system: str, table: list[Told]) -> None:
    """When each fires is judged for each shipped system; here its numbers, and whether it pages or waits for hours."""
    env, folder = deployed(system, tmp_path)
    config = tmp_path / "alertmanager.yml"
    config.write_text(files.alertmanager(replace(env, secrets=Urls())).content)  # type: ignore[arg-type]
    assert sorted(told(rule, config) for rule in rules_of(folder)) == sorted(table)
    name, zone = HOURS[system]
    times = [{"weekdays": WORKDAYS, "times": [{"start_time": "09:00", "end_time": "18:00"}], "location": zone}]
    assert yaml.safe_load(config.read_text())["time_intervals"] == [{"name": name, "time_intervals": times}]
