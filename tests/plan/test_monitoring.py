"""Monitoring before any host: files and ports from a fixed environment, what is refused, where alerts would go."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from deploys.components.base.firewall import openings
from deploys.components.monitoring import collected, consoles, files, targets
from deploys.components.monitoring.exporters import exporters
from deploys.components.monitoring.measures import measures
from deploys.components.monitoring.rules import groups, severities
from mainstay.errors import InventoryError
from mainstay.files import ManagedFile
from mainstay.inventory import Environment, Host, load
from tests.lab.watched import OFFICE, PAGER, SYSTEM
from tests.plan.alert_judge import deployed
from tests.plan.promtool import run
from tests.plan.watched import environment, project
from tests.unit.inventories import Edit, copied, loaded, unwatched


@pytest.fixture(scope="module")
def env(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Environment]:
    with pytest.MonkeyPatch.context() as patch:
        yield environment(tmp_path_factory.mktemp("watched"), patch, "production")


@pytest.fixture(scope="module")
def mon(env: Environment) -> Host:
    return env.hosts["watched-mon"]


def managed(env: Environment, host: Host, path: str) -> ManagedFile:
    return next(one for one in files.files(env, host) if one.path == path)


# What stands where


def test_each_host_has_the_exporters_of_what_it_runs(env: Environment) -> None:
    found = {host.name: [one.kind for one in exporters(env, host)] for host in env.hosts.values()}
    assert found["watched-web"] == found["watched-app-1"] == ["node", "nginx"]
    assert found["watched-db"] == ["node", "postgres"]
    assert found["watched-cache"] == ["node", "redis"]
    assert found["watched-mon"] == ["node", "blackbox"]


@pytest.mark.covers("LG-11")
def test_services_are_measured_by_their_logs_and_units(env: Environment) -> None:
    app = env.hosts["watched-app-1"]
    wanted = json.loads(managed(env, app, collected.WANTED).content)
    assert wanted == {"services": {"api": "watched-api"}, "patterns": env.common.logs.patterns}
    unit = managed(env, app, f"/etc/systemd/system/{collected.UNIT}").content
    for line in ("CapabilityBoundingSet=", "NoNewPrivileges=yes", "ProtectSystem=strict"):
        assert line in unit.splitlines()
    assert f"{collected.SCRIPT} {collected.WANTED} {collected.FOUND} 15\n" in unit
    others = [host for host in env.hosts.values() if "app" not in host.roles]
    assert not [host.name for host in others if collected.files(env, host)]


def test_what_is_not_measured_any_more_goes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    env = loaded_without_releases(tmp_path, monkeypatch)
    step = collected.step(env, env.hosts["watched-app-1"])
    assert not step.files and {collected.WANTED, f"/etc/systemd/system/{collected.UNIT}"} <= set(step.remove)
    assert f"rm -f {collected.FOUND}" in step.activate


def loaded_without_releases(folder: Path, patch: pytest.MonkeyPatch) -> Environment:
    """As before the first release: the hosts run no service."""
    root = project(folder, patch)
    (root / "inventories" / SYSTEM / "releases.yaml").write_text("releases: {}\n")
    return load(SYSTEM, "production", root=root)


def test_a_system_without_the_section_has_none_of_it(tmp_path: Path) -> None:
    env = loaded(unwatched(copied(tmp_path)))
    listeners = [one for host in env.hosts.values() for one in env.listeners(host)]
    assert "monitoring" not in env.sections
    assert not [one for one in listeners if "monitoring" in one.from_roles or "metrics" in one.what]


def test_exporters_are_open_to_monitoring_hosts_alone(env: Environment, mon: Host) -> None:
    for host in env.hosts.values():
        opened = {one.port: one.sources for one in openings(env, host)}
        for exporter in exporters(env, host):
            if exporter.loopback or host == mon:
                assert exporter.port not in opened
            else:
                assert opened[exporter.port] == (mon.address,)
    app = {one.port: one.sources for one in openings(env, env.hosts["watched-app-1"])}
    assert app[9145] == (mon.address,)
    assert mon.address in app[8000]
    assert {9090, 9093, 9115}.isdisjoint(one.port for one in openings(env, mon))


@pytest.mark.covers("DF-46")
def test_metrics_of_both_slots_are_given_on_the_private_address(env: Environment) -> None:
    app = env.hosts["watched-app-1"]
    text = managed(env, app, files.METRICS_SITE).content
    assert f"listen {app.address}:9145;" in text
    for port in (18000, 28000):
        assert f"location = /api/{port} {{\n        proxy_pass http://127.0.0.1:{port}/metrics;" in text


def test_postgres_is_asked_by_the_socket_and_without_a_password(env: Environment) -> None:
    text = managed(env, env.hosts["watched-db"], "/etc/default/prometheus-postgres-exporter").content
    assert "DATA_SOURCE_NAME='user=watched_monitor dbname=watched host=/var/run/postgresql " in text
    assert "password" not in text


def test_secrets_stand_as_placeholders_in_files_of_their_own_mode(env: Environment, mon: Host) -> None:
    redis = managed(env, env.hosts["watched-cache"], "/etc/default/prometheus-redis-exporter")
    assert "REDIS_PASSWORD='<secret REDIS_EXPORTER_PASSWORD@1>'" in redis.content and redis.mode == 0o600
    told = managed(env, mon, files.ALERTMANAGER)
    assert (told.owner, told.group, told.mode) == ("root", "prometheus", 0o640)
    assert PAGER not in told.content and OFFICE not in told.content
    resolved = yaml.safe_load(env.secrets.resolve(told.content))
    pager, office = resolved["receivers"][1:]
    assert pager["slack_configs"][0]["api_url"] == PAGER
    assert office["webhook_configs"][0]["url"] == OFFICE


def test_every_health_check_is_probed_on_every_host(env: Environment) -> None:
    (health,) = [job for job in targets.jobs(env) if job.name == "health"]
    apps = env.hosts_of("app")
    assert [one.address for one in health.targets] == [f"http://{host.address}:8000/health" for host in apps]
    module = targets.blackbox_modules(env)[health.targets[0].meta["__param_module"]]["http"]
    assert module["valid_status_codes"] == [200]
    assert module["fail_if_body_not_matches_regexp"] == ['"status"\\s*:\\s*"healthy"']


def test_every_site_is_asked_as_clients_ask(env: Environment) -> None:
    (sites,) = [job for job in targets.jobs(env) if job.name == "sites"]
    assert [one.address for one in sites.targets] == [f"https://{h.address}:443/health" for h in env.hosts_of("web")]
    assert sites.targets[0].labels["site"] == env.domain
    module = targets.blackbox_modules(env)[sites.targets[0].meta["__param_module"]]["http"]
    assert module["headers"] == {"Host": env.domain} and module["tls_config"]["server_name"] == env.domain
    assert module["fail_if_body_not_matches_regexp"] == ['"status"\\s*:\\s*"healthy"']


@pytest.mark.covers("HC-03", "FE-06")
@pytest.mark.parametrize(
    ("system", "asked"),
    [
        ("everydayai", {"/", "/health"}),
        ("tchat", {f"/{name}/health/ready" for name in ("auth", "messaging", "payment", "notification")}),
    ],
)
def test_pages_and_prefixes_of_a_shipped_system_are_asked(system: str, asked: set[str], tmp_path: Path) -> None:
    env, _ = deployed(system, tmp_path)
    (sites,) = [job for job in targets.jobs(env) if job.name == "sites"]
    assert {one.labels["check"] for one in sites.targets} == asked
    assert len(sites.targets) == len(asked) * len(env.hosts_of("web"))


@pytest.mark.parametrize("name", ["staging", "production"])
def test_promtool_and_amtool_accept_all_of_it(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    env = environment(tmp_path, monkeypatch, name)
    config, rules, *_ = files.prometheus(env, env.hosts["watched-mon"])
    (tmp_path / "rules.yml").write_text(rules.content)
    (tmp_path / "prometheus.yml").write_text(config.content.replace(files.RULES, "rules.yml"))
    (tmp_path / "alertmanager.yml").write_text(env.secrets.resolve(files.alertmanager(env).content))
    assert "FAILED" not in run("promtool", "check", "config", tmp_path / "prometheus.yml")
    assert "SUCCESS" in run("amtool", "check-config", tmp_path / "alertmanager.yml")


@pytest.mark.covers("MT-06", "MT-09", "MT-41")
def test_each_severity_goes_where_the_inventory_says(env: Environment, tmp_path: Path) -> None:
    path = tmp_path / "alertmanager.yml"
    path.write_text(env.secrets.resolve(files.alertmanager(env).content))
    wanted = {"P0": "pager", "P1": "pager", "P2": "office", "critical": "office", "warning": "office", "none": "nobody"}
    for severity, receiver in wanted.items():
        said = run("amtool", "config", "routes", "test", f"--config.file={path}", f"severity={severity}")
        assert said.splitlines()[0] == receiver, severity
    routes = {one["matchers"][0]: one for one in yaml.safe_load(path.read_text())["route"]["routes"]}
    assert routes['severity="warning"']["active_time_intervals"] == ["work"]
    assert "active_time_intervals" not in routes['severity="critical"']


def test_what_is_milder_is_not_told_beside_what_is_worse(env: Environment) -> None:
    """Within a scale: P2 at 70 % must not hide what is critical at 90 %."""
    rules = yaml.safe_load(env.secrets.resolve(files.alertmanager(env).content))["inhibit_rules"]
    found = {one["source_matchers"][0]: one["target_matchers"][0] for one in rules}
    assert found['severity="P0"'] == 'severity=~"P1|P2"'
    assert found['severity="P1"'] == 'severity=~"P2"'
    assert 'severity="P2"' not in found
    assert found['severity="critical"'] == 'severity=~"warning"'


def test_what_is_worse_silences_nothing_about_something_else(env: Environment) -> None:
    """Another pattern of the same service, another unit of the same host: whatever tells one series from another."""
    rules = yaml.safe_load(env.secrets.resolve(files.alertmanager(env).content))["inhibit_rules"]
    of = {label for measure in measures(env).values() for label in measure.of}
    assert {"pattern", "unit", "mountpoint", "service", "host"} <= of
    assert all(
        of | {"alertname", "site"} == set(one["equal"]) for one in rules if "severity" in one["source_matchers"][0]
    )


def test_every_rule_says_what_to_do(env: Environment) -> None:
    known = {*severities(env), "none"}
    for group in groups(env):
        for rule in group.rules:
            assert rule.severity in known
            assert rule.summary and rule.alert[0].isupper()


@pytest.mark.covers("DS-06")
def test_a_threshold_is_said_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    edit = ("system.yaml", "cpu_pct: {warn: 70, crit: 90}", "cpu_pct: {warn: 61, crit: 90}")
    env = load(SYSTEM, "staging", root=project(tmp_path, monkeypatch, edit))
    mon = env.hosts["watched-mon"]
    rules, page = (managed(env, mon, path).content for path in (files.RULES, f"{consoles.FOLDER}/system-overview.html"))
    assert "mainstay:cpu_pct > 61" in rules and "above 61" in rules
    assert "above 61 warning 90 critical" in page and "{{ if gt .Value 61.000000 }}warn{{ end }}" in page


@pytest.mark.covers("DS-01", "DS-02", "DS-05")
def test_pages_have_what_the_runbooks_dashboards_have(env: Environment) -> None:
    pages = {page.name: [panel.title for panel in page.panels] for page in consoles.consoles(env)}
    wanted = {
        "system-overview": {"CPU", "Memory", "Disk", "Instances that answer", "Received", "Sent"},
        "application-performance": {"Request rate", "Latency P95", "Latency P99", "Error rate"},
        "realtime": {"CPU", "Memory", "Request rate", "Latency P95", "Rows inserted", "Rows updated", "Cache hits"},
    }
    for name, titles in wanted.items():
        assert titles <= set(pages[name]), f"{name}: {titles - set(pages[name])} not in {pages[name]}"
    page = next(page for page in consoles.consoles(env) if page.name == "realtime")
    shown = next(managed for managed in consoles.files(env) if managed.path == page.path).content
    assert '<meta http-equiv="refresh" content="10">' in shown


# What is refused before any host


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
    root = project(tmp_path, monkeypatch)
    file, old, new = edit
    path = root / "inventories" / SYSTEM / file
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))
    with pytest.raises(InventoryError) as error:
        load(SYSTEM, "staging", root=root)
    assert message in "\n".join(map(str, error.value.problems))
