"""What is refused of alerts, thresholds and metrics before any host, and limits that are right."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from deploys.components.monitoring.rules import groups
from mainstay.errors import InventoryError
from mainstay.inventory import load
from tests.lab.watched import SYSTEM
from tests.plan.watched import project
from tests.unit.inventories import Edit


def with_alerts(worse: str, milder: str) -> list[Edit]:
    """Two severities, each with an alert more."""
    return [
        ("system.yaml", "  P0:\n    - {name: service_down,", f"  P0:\n    - {worse}\n    - {{name: service_down,"),
        ("system.yaml", "  P2:\n    - {name: p95,", f"  P2:\n    - {milder}\n    - {{name: p95,"),
    ]


def said_of(root: Path) -> list[str]:
    """What loading finds wrong, without file and line."""
    try:
        load(SYSTEM, "staging", root=root)
    except InventoryError as error:
        return [str(one).removeprefix(f"{one.file}: ") for one in error.problems]
    return []


def test_what_falls_has_its_limit_below(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    edits = with_alerts("{name: cache_hit, below_pct: 70}", "{name: cache_hit, below_pct: 80, for: 15m}")
    env = load(SYSTEM, "staging", root=project(tmp_path / "right", monkeypatch, *edits))
    found = {rule.severity: rule.expr for group in groups(env) for rule in group.rules if rule.alert == "CacheHits"}
    assert (found["P0"], found["P2"]) == ("mainstay:cache_hit_pct < 70", "mainstay:cache_hit_pct < 80")
    edits = with_alerts("{name: cache_hit, below_pct: 80}", "{name: cache_hit, below_pct: 70}")
    assert said_of(project(tmp_path / "wrong", monkeypatch, *edits)) == [
        "alerts.P0[0].below_pct: found 80, milder than the 70 of alerts.P2[0].below_pct, "
        "expected at most 70, as P0 is worse than P2"
    ]


@pytest.mark.parametrize(
    ("worse", "milder"),
    [
        ("{name: cpu, above_pct: 70, for: 60m}", "{name: disk, above_pct: 80}"),  # as much as P2 has, for longer
        ("{name: cpu, above_pct: 95}", "{name: cpu, above_pct: 90, for: 1m, called: CpuPeak}"),
        ("{name: cpu, above_pct: 80}", "{name: cpu, above_pct: 99, for: 10s, called: CpuPeak}"),  # 70 is milder still
        ("{name: cpu, above_pct: 100}", "{name: disk, above_pct: 0}"),
    ],
)
def test_limits_in_order_are_taken(worse: str, milder: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert said_of(project(tmp_path, monkeypatch, *with_alerts(worse, milder))) == []


@pytest.mark.parametrize(
    ("alerts", "message"),
    [
        (
            "critical: [{name: cpu, above_pct: 95}]",
            "alerts.critical[0]: found cpu, which thresholds.cpu_pct is about, "
            "expected each alert once in a severity, or with a name of its own (called)",
        ),
        (
            "critical: [{name: cpu, above_pct: 60, called: CpuSlow}]",
            "alerts.critical[0].above_pct: found 60, milder than the 70 of thresholds.cpu_pct.warn, "
            "expected at least 70, as critical is worse than warning",
        ),
        ("critical: [{name: cpu, above_pct: 80, for: 60m, called: CpuSlow}]", ""),
    ],
)
def test_alerts_of_the_thresholds_severities_are_on_their_scale(
    alerts: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    described = ("system.yaml", "  P2: {rank: 2,", "  critical: {rank: 3}\n  P2: {rank: 2,")
    edits = [described, ("system.yaml", "alerts:\n", f"alerts:\n  {alerts}\n")]
    assert said_of(project(tmp_path, monkeypatch, *edits)) == ([message] if message else [])


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (
            ("system.yaml", "cpu_pct: {warn: 70, crit: 90}", "cpu_pct: {warn: 95, crit: 90}"),
            "thresholds.cpu_pct: found warn 95, crit 90, expected warn < crit",
        ),
        (
            ("system.yaml", "  cpu_pct: {warn: 70", "  gpu_pct: {warn: 70}\n  cpu_pct: {warn: 70"),
            "thresholds.gpu_pct: found a threshold that nothing measures, expected one of cpu_pct, memory_pct",
        ),
        (
            ("system.yaml", "metrics: {api: /metrics}", "metrics: {}"),
            "thresholds.p95_ms: found a threshold whose metric no target gives, "
            "expected a service in monitoring.metrics",
        ),
        (
            ("system.yaml", "  cpu_pct: {warn: 70", "  replication_lag_s: {warn: 30}\n  cpu_pct: {warn: 70"),
            "thresholds.replication_lag_s: found a threshold whose metric no target gives, "
            "expected a PostgreSQL (with a replica, for its lag) that Mainstay runs",
        ),
        (
            ("system.yaml", "{name: database_lost}", "{name: database_slow}"),
            "alerts.P0[2]: found database_slow, for which there is no rule, expected service_down",
        ),
        (
            ("system.yaml", "rule: health fails 3 times in 5m", "rule: health is bad"),
            "alerts.P0[0]: found service_down, for which there is no rule, expected service_down (health fails N times",
        ),
        (
            ("system.yaml", "{name: error_rate, above_pct: 5,", "{name: error_rate, above_pct: 0.5,"),
            "alerts.P0[1].above_pct: found 0.5, milder than the 1 of alerts.P1[1].above_pct, "
            "expected at least 1, as P0 is worse than P1",
        ),
        (
            ("system.yaml", "{name: p95, above_ms: 1000,", "{name: p95, above_ms: 499,"),
            "alerts.P1[0].above_ms: found 499, milder than the 500 of alerts.P2[0].above_ms, "
            "expected at least 500, as P1 is worse than P2",
        ),
        (
            ("system.yaml", "{name: disk, above_pct: 95}", "{name: memory, above_pct: 99}"),
            "alerts.P1[3]: found memory, which alerts.P1[2] is about, "
            "expected each alert once in a severity, or with a name of its own (called)",
        ),
        (
            ("system.yaml", "{name: redis_lost}", "{name: database_lost, for: 5m}"),
            "alerts.P0[3]: found database_lost, which alerts.P0[2] is about, expected each alert once in a severity",
        ),
        (
            ("system.yaml", "{name: disk, above_pct: 95}", "{name: cache_hit, above_pct: 80}"),
            "alerts.P1[2].above_pct: found above_pct for cache_hit, which is worse the lower it is, expected below_pct",
        ),
        (
            ("system.yaml", "{name: disk, above_pct: 95}", "{name: disk, below_pct: 5}"),
            "alerts.P1[2].below_pct: found below_pct for disk, which is worse the higher it is, expected above_pct",
        ),
        (
            ("system.yaml", "{name: disk, above_pct: 95}", "{name: disk, above_pct: 95, below_pct: 5}"),
            "alerts.P1[2]: found above_pct and below_pct, expected one limit of one measure",
        ),
        (
            ("system.yaml", "{name: disk, above_pct: 95}", "{name: disk, above_pct: 950}"),
            "alerts.P1[2].above_pct: found the number 950, expected at most 100",
        ),
        (
            ("system.yaml", "{name: disk, above_pct: 95}", "{name: cache_hit, below_pct: -80}"),
            "alerts.P1[2].below_pct: found the number -80, expected at least 0",
        ),
        (
            ("system.yaml", "{name: p95, above_ms: 1000,", "{name: p95, above_ms: -1,"),
            "alerts.P1[0].above_ms: found the number -1, expected at least 0",
        ),
        (
            ("system.yaml", "    pager: {kind: slack, url: ALERT_PAGER_URL}", "    pager: {kind: slack}"),
            "monitoring.receivers.pager.url: found nothing, expected",
        ),
        (
            ("system.yaml", "P1: {receiver: pager}", "P1: {receiver: paper}"),
            "monitoring.routes.P1.receiver: found 'paper', expected one of monitoring.receivers",
        ),
        (
            ("system.yaml", "    P1: {receiver: pager}\n", ""),
            "monitoring.routes: found no route for P1, expected one for each severity that an alert has",
        ),
        (
            ("system.yaml", "    P1: {receiver: pager}\n", "    P1: {receiver: pager}\n    P9: {receiver: pager}\n"),
            "monitoring.routes.P9: found a severity that is not described, expected one of P0, P1, P2",
        ),
        (
            ("system.yaml", "hours: work}", "hours: day}"),
            "monitoring.routes.warning.hours: found 'day', expected one of monitoring.hours",
        ),
        (
            ("system.yaml", "  redis_user: prometheus\n", ""),
            "monitoring.redis_user: found none, expected a user of redis.users that the exporter logs in as",
        ),
        (
            ("system.yaml", "rules: [+ping, +info,", "rules: [+ping,"),
            "redis.users.prometheus.rules: found rules that do not name them, expected +ping and +info",
        ),
        (
            ("system.yaml", "kind: monitor", "kind: readonly"),
            "postgres.roles: found no role of kind monitor, expected one that the exporter logs in as",
        ),
        (
            ("system.yaml", "  metrics: {api", "  certificate_days: {warn: 7, crit: 21}\n  metrics: {api"),
            "monitoring.certificate_days: found warn 7, crit 21, expected warn > crit",
        ),
        (
            ("system.yaml", "  metrics: {api", "  ports: {node: 9113}\n  metrics: {api"),
            "monitoring.ports.nginx: found port 9113 for metrics of nginx, which metrics of node has on",
        ),
        (
            ("system.yaml", "https://runbooks.watched.test/{alert}", "https://runbooks.watched.test/"),
            "monitoring.runbooks: found 'https://runbooks.watched.test/', expected an https URL in which {alert}",
        ),
        (
            ("system.yaml", "  managed: false\n", "  managed: true\n"),
            "alerts.P0[3]: found redis_lost, whose metric no target gives, expected a Redis that Mainstay runs",
        ),
        (
            ("system.yaml", "start: '09:00'", "start: '19:00'"),
            "monitoring.hours.work: found 19:00 to 18:00, expected an end after the start",
        ),
        (
            ("system.yaml", "start: '09:00'", "start: nine"),
            "monitoring.hours.work.start: found 'nine', expected a time such as 09:00",
        ),
        (
            ("system.yaml", "patterns: [Authentication failed,", "patterns: ['(Authentication failed',"),
            "logs.patterns[0]: found '(Authentication failed', expected a regular expression of Python",
        ),
        (
            ("system.yaml", "  patterns: [", "  lines: 50  # ["),
            "thresholds.log_patterns_per_min: found a threshold whose metric no target gives, "
            "expected a service whose log is looked at, by logs.patterns",
        ),
        (
            ("staging.yaml", "roles: [monitoring]", "roles: [ml]"),
            "monitoring: found the section and no host with role monitoring, expected such a host",
        ),
        (
            ("system.yaml", "metrics: {api: /metrics}", "metrics: {api: /metrics, web: /metrics}"),
            "monitoring.metrics.web: found 'web', expected a service that listens on a port",
        ),
    ],
)
def test_what_cannot_be_is_refused(edit: Any, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert message in "\n".join(said_of(project(tmp_path, monkeypatch, edit)))
