"""Monitoring before any host: files and ports from a fixed environment, and where alerts would go."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from deploys.components.base.firewall import openings
from deploys.components.monitoring import collected, consoles, files, targets
from deploys.components.monitoring.exporters import exporters
from deploys.components.monitoring.measures import measures
from deploys.components.monitoring.rules import groups, severities
from mainstay.files import ManagedFile
from mainstay.inventory import Environment, Host, load
from tests.lab.watched import OFFICE, PAGER, SYSTEM
from tests.plan.alert_judge import deployed
from tests.plan.promtool import run
from tests.plan.watched import environment, project
from tests.unit.inventories import copied, loaded, unwatched


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
