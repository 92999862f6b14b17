"""Monitoring as those who rely on it meet it: everything is asked, every rule is in force, receivers are reached."""

from __future__ import annotations

import json
import re
import shlex
import time
from collections.abc import Callable
from typing import Any

import pytest

from deploys.components.monitoring import collected, consoles, files, rules, targets
from deploys.components.monitoring.exporters import Exporter, exporters, measured_services
from deploys.components.monitoring.model import Section, section
from deploys.components.monitoring.routing import NOBODY
from deploys.components.monitoring.rule import duration
from deploys.components.service.files import running_on
from mainstay import ports
from mainstay.inventory import Environment, Host
from mainstay.testing import anew

LEAST = {"User": "prometheus", "NoNewPrivileges": "yes", "CapabilityBoundingSet": "", "ProtectSystem": "strict"}
ON_SERVER = pytest.mark.roles("monitoring")
WAITS = pytest.mark.waits
UNITS = [f"{name}.service" for name in files.SERVERS]


@pytest.fixture(scope="module")
def own(environment: Environment) -> Section:
    return section(environment)


@pytest.fixture(scope="module")
def ask(host: Any) -> Callable[[int, str], Any]:
    """What a server on the host answers to a question of its API, read."""

    def answer(port: int, path: str) -> Any:
        done = host.run(f"curl -sSf --max-time 10 http://127.0.0.1:{port}{shlex.quote(path)}")
        assert done.rc == 0, f"no answer on port {port}: {done.stderr.strip()}"
        return json.loads(done.stdout)

    return answer


# Exporters, on every host


def test_exporters_run_and_start_at_boot(host: Any, environment: Environment, member: Host) -> None:
    for exporter in exporters(environment, member):
        unit = host.service(exporter.unit)
        assert unit.is_running, f"{exporter.unit} is not active"
        assert unit.is_enabled, f"{exporter.unit} does not start at boot"


def test_exporters_listen_on_their_address_only(host: Any, environment: Environment, member: Host) -> None:
    for exporter in exporters(environment, member):
        assert _listening(host, exporter.port) == {exporter.address.strip("[]")}, f"{exporter.kind} listens elsewhere"


@WAITS
def test_exporters_measure_what_they_are_for(host: Any, environment: Environment, member: Host, own: Section) -> None:
    """One whose server was restarted learns from its next look that the connection is gone, and fails that one."""
    every = exporters(environment, member)
    _settle(host, lambda: [fault for exporter in every if (fault := _no_measure(host, exporter))], own)


@WAITS
@pytest.mark.roles("app", "ml")
@pytest.mark.covers("LG-11")
def test_services_are_measured_by_their_logs_and_units(
    host: Any, environment: Environment, member: Host, own: Section
) -> None:
    """Every pattern of every service is counted, and each unit that runs is measured."""
    if not collected.measured(environment, member):
        return
    unit = host.service(collected.UNIT)
    assert unit.is_running, f"{collected.UNIT} is not active"
    assert unit.is_enabled, f"{collected.UNIT} does not start at boot"
    (node,) = [exporter for exporter in exporters(environment, member) if exporter.kind == "node"]
    names = [service.name for service in running_on(environment, member)]

    def wrong() -> list[str]:
        found = {name: value for name, _, value in (line.rpartition(" ") for line in _metrics(host, node))}
        away = [
            f"{series} is not measured"
            for pattern in environment.common.logs.patterns
            for name in names
            if (series := f'{collected.LOGGED}{{pattern="{collected.label(pattern)}",service="{name}"}}') not in found
        ]
        for name in names:
            if not any(series.startswith(f'{collected.CPU}{{service="{name}",') for series in found):
                away.append(f"no unit of {name} is measured")
        written = float(found.get(f'node_textfile_mtime_seconds{{file="{collected.FOUND}"}}', 0))
        age = float(found.get("node_time_seconds", 0)) - written
        return away + ([] if age < collected.oldest_s(environment) else [f"services were measured {age:.0f} s ago"])

    _settle(host, wrong, own)


def _no_measure(host: Any, exporter: Exporter) -> str:
    """What the exporter does not say; empty where it measures."""
    wanted = {"nginx": "nginx_up", "postgres": "pg_up", "redis": "redis_up", "node": "node_load1"}.get(exporter.kind)
    said = _metrics(host, exporter)
    if not said:
        return f"the {exporter.kind} exporter does not answer"
    found = [line.split()[-1] for line in said if wanted and line.split("{")[0].split(" ")[0] == wanted]
    if wanted is not None and not found:
        return f"the {exporter.kind} exporter says nothing of {wanted}"
    return f"{wanted} is {', '.join(found)}" if (wanted or "").endswith("_up") and found != ["1"] else ""


def test_exporters_can_do_no_more_than_they_need(host: Any, environment: Environment, member: Host) -> None:
    for exporter in exporters(environment, member):
        shown = host.check_output(f"systemctl show -p {','.join(LEAST)} {exporter.unit}")
        found = dict(line.split("=", 1) for line in shown.splitlines())
        assert found == LEAST, f"{exporter.unit}: {found}"


def test_files_are_readable_by_those_who_need_them_only(host: Any, environment: Environment, member: Host) -> None:
    wanted = {m.path: f"{m.owner}:{m.group} {m.mode:o}" for m in files.files(environment, member)}
    said = host.run(f"stat -c '%n %U:%G %a' {shlex.join(wanted)}").stdout
    found = dict(line.split(" ", 1) for line in said.splitlines())
    for path, own in wanted.items():
        assert found.get(path) == own, f"{path} is {found.get(path, 'nothing')}"


@pytest.mark.roles("web", "app", "db", "db_replica", "cache", "ml")
def test_nobody_but_monitoring_is_measured_from_here(host: Any, environment: Environment, member: Host) -> None:
    """By the firewall: exporters ask nobody who they are.

    In an environment's first rollout, a host whose batch is still to come has no firewall yet and refuses; it measures
    nothing for anybody either.
    """
    if "monitoring" in member.roles:
        return
    others = [other for other in environment.hosts.values() if other.name != member.name]
    kinds = [{one.port: one.kind for one in exporters(environment, other) if not one.loopback} for other in others]
    asked = [
        ports.Question(other.address, [other.ssh_port], sorted(own)) for other, own in zip(others, kinds, strict=True)
    ]
    for other, own, answering in zip(others, kinds, ports.ask_from(host, asked), strict=True):
        for port in sorted(answering & own.keys()):
            url = shlex.quote(f"http://{_bracketed(other.address)}:{port}/metrics")
            measured = host.run(f"curl -sS -o /dev/null --max-time 5 {url}").rc == 0
            assert not measured, f"the {own[port]} exporter of {other.name} answers {member.name}"


@pytest.mark.roles("app", "ml")
@pytest.mark.covers("HC-01")
def test_metrics_of_services_are_for_monitoring_alone(host: Any, environment: Environment, member: Host) -> None:
    """By nginx too, which knows whom it may tell; asked from here, where the firewall is not in the way."""
    for service in measured_services(environment, member):
        port = targets.instance_ports(service)["blue"][0]
        url = f"http://{files.metrics_address(environment, member)}{targets.metrics_path(service, port)}"
        said = host.check_output(f"curl -sS -o /dev/null -w '%{{http_code}}' --max-time 5 {url}")
        assert said == "403" or "monitoring" in member.roles, f"{url} answers {said} to {member.name} itself"


# The servers


@ON_SERVER
def test_servers_run_and_start_at_boot(host: Any) -> None:
    for name in UNITS:
        unit = host.service(name)
        assert unit.is_running, f"{name} is not active"
        assert unit.is_enabled, f"{name} does not start at boot"


@ON_SERVER
def test_servers_listen_on_loopback_only(host: Any, own: Section) -> None:
    for port in (own.ports.prometheus, own.ports.alertmanager):
        assert _listening(host, port) == {"127.0.0.1"}, f"port {port} is open elsewhere"
    assert not _listening(host, 9094), "Alertmanager looks for others of its kind"


@ON_SERVER
def test_prometheus_and_alertmanager_accept_their_files(host: Any) -> None:
    for command in (
        f"promtool check config {files.CONFIG}",
        f"promtool check rules {files.RULES}",
        f"amtool check-config {files.ALERTMANAGER}",
    ):
        done = host.run(command)
        assert done.rc == 0, f"{command}: {(done.stderr or done.stdout).strip().splitlines()[-1]}"


@ON_SERVER
@WAITS
@pytest.mark.covers("MT-51", "MT-53")
def test_every_target_is_asked_and_answers(host: Any, ask: Any, own: Section, environment: Environment) -> None:
    """An instance of the slot that waits is the one thing that need not answer; each service has all of its others."""

    def wrong() -> list[str]:
        active = ask(own.ports.prometheus, "/api/v1/targets?state=active")["data"]["activeTargets"]
        found = {(one["labels"]["job"], one["labels"]["instance"]): one for one in active}
        wanted = {
            (job.name, target.labels.get("instance", target.address)): target.needed
            for job in targets.jobs(environment)
            for target in job.targets
        }
        away = [f"{job} {instance} is not asked" for job, instance in wanted.keys() - found.keys()]
        away += [f"{job} {instance} is nobody's" for job, instance in found.keys() - wanted.keys()]
        down = [key for key, one in found.items() if one["health"] != "up" and wanted.get(key)]
        return away + [f"{job} {instance}: {found[job, instance]['lastError']}" for job, instance in down]

    _settle(host, wrong, own)


@ON_SERVER
@WAITS
def test_every_instance_of_a_service_is_measured(host: Any, ask: Any, own: Section, environment: Environment) -> None:
    wanted = {
        (host.name, service.name): service.instances.base
        for host in environment.hosts.values()
        for service in measured_services(environment, host)
    }

    def wrong() -> list[str]:
        rows = _query(ask, own, 'sum by (host, service) (up{job="services"})')
        found = {(row["metric"]["host"], row["metric"]["service"]): float(row["value"][1]) for row in rows}
        return [f"{h} {s}: {found.get((h, s), 0):g} of {n}" for (h, s), n in wanted.items() if found.get((h, s), 0) < n]

    _settle(host, wrong, own)


@ON_SERVER
@pytest.mark.covers("MT-19")
def test_rules_in_force_are_the_inventory_s(ask: Any, own: Section, environment: Environment) -> None:
    """Each with all that its file says of it, by what Prometheus says of itself: what is recorded, then who is told."""
    found = {
        _rule(one["name"], one["query"], duration(one.get("duration", 0)), one)
        for group in ask(own.ports.prometheus, "/api/v1/rules")["data"]["groups"]
        for one in group["rules"]
    }
    wanted = {
        _rule(one.get("alert") or one["record"], one["expr"], one.get("for", "0s"), one)
        for group in rules.as_yaml(environment)["groups"]
        for one in group["rules"]
    }
    assert not wanted - found, f"not in force: {sorted(wanted - found)[0]}"
    assert not found - wanted, f"in force and not the inventory's: {sorted(found - wanted)[0]}"


Said = tuple[tuple[str, str], ...]


def _rule(name: str, query: str, lasts: str, one: dict[str, Any]) -> tuple[str, str, str, Said, Said]:
    """A rule as Prometheus' answer and its file have it alike: the rest they call by the same names."""
    labels, said = (tuple(sorted(one.get(key, {}).items())) for key in ("labels", "annotations"))
    return name, lasts, _as_prometheus_writes(query), labels, said


@ON_SERVER
@WAITS
def test_no_rule_fails(host: Any, ask: Any, own: Section) -> None:
    def wrong() -> list[str]:
        loaded = ask(own.ports.prometheus, "/api/v1/rules")["data"]["groups"]
        bad = [one for group in loaded for one in group["rules"] if one["health"] != "ok"]
        return [f"{one['name']} is {one['health']}: {one.get('lastError', 'not evaluated yet')}" for one in bad]

    _settle(host, wrong, own)


@ON_SERVER
@WAITS
def test_alerts_reach_alertmanager(host: Any, ask: Any, own: Section) -> None:
    """By the one alert that is always there."""

    def wrong() -> list[str]:
        known = ask(own.ports.alertmanager, "/api/v2/alerts?filter=alertname%3DWatchdog")
        return [] if known else ["Alertmanager has not heard of the Watchdog"]

    # Where Alertmanager was away for a moment, it is told again within a minute.
    _settle(host, wrong, own, 60)


@ON_SERVER
@pytest.mark.covers("MT-41")
def test_each_severity_goes_to_its_receiver(host: Any, own: Section) -> None:
    wanted = {severity: route.receiver for severity, route in own.routes.items()}
    for severity, receiver in {**wanted, "none": NOBODY}.items():
        at = f"--alertmanager.url=http://127.0.0.1:{own.ports.alertmanager}"
        found = host.run(f"amtool config routes test {at} severity={severity}").stdout.strip()
        assert found == receiver, f"{severity} goes to {found or 'nobody'}, not to {receiver}"


@ON_SERVER
def test_receivers_take_what_they_are_told(ask: Any, own: Section) -> None:
    rows = _query(ask, own, "sum by (integration) (increase(alertmanager_notifications_failed_total[5m])) > 0")
    assert not rows, f"not taken: {', '.join(row['metric']['integration'] for row in rows)}"


@ON_SERVER
def test_every_console_can_be_shown(host: Any, own: Section, environment: Environment) -> None:
    for console in consoles.consoles(environment):
        url = f"http://127.0.0.1:{own.ports.prometheus}/consoles/{console.name}.html"
        done = host.run(f"curl -sSf --max-time 10 {url}")
        assert done.rc == 0, f"{console.name}: {done.stderr.strip()}"
        shown = done.stdout.count('<section class="panel"')
        assert shown == len(console.panels), f"{console.name}: {shown} panels of {len(console.panels)}"


@ON_SERVER
@pytest.mark.covers("DS-03")
def test_panels_of_the_inventory_have_data(
    ask: Any, own: Section, record_property: Callable[[str, object], None]
) -> None:
    """Prometheus takes each query; what gives no data is said, for a service may have nothing to say yet."""
    empty = [title for title, query in own.panels.items() if not _query(ask, own, query)]
    if empty:
        record_property("note", f"no data for {', '.join(empty)}")


def _bracketed(address: str) -> str:
    return f"[{address}]" if ":" in address else address


def _listening(host: Any, port: int) -> set[str]:
    lines = host.check_output(f"ss -Hltn 'sport = :{port}'").splitlines()
    return {line.split()[3].rpartition(":")[0].strip("[]") for line in lines}


def _metrics(host: Any, exporter: Exporter) -> list[str]:
    done = host.run(f"curl -sSf --max-time 10 http://{exporter.listen}/metrics")
    return [line for line in done.stdout.splitlines() if not line.startswith("#")]


def _query(ask: Any, own: Section, promql: str) -> list[dict[str, Any]]:
    from urllib.parse import quote

    found: list[dict[str, Any]] = ask(own.ports.prometheus, f"/api/v1/query?query={quote(promql)}")["data"]["result"]
    return found


def _settle(host: Any, wrong: Callable[[], list[str]], own: Section, more: float = 0) -> None:
    """Nothing is wrong after three measurements and `more` seconds: what has just started has none yet."""
    deadline = time.monotonic() + 3 * own.interval + more
    found = wrong()
    with anew(host):
        while found and time.monotonic() < deadline:
            time.sleep(1)
            found = wrong()
    assert not found, "; ".join(found)


def _as_prometheus_writes(promql: str) -> str:
    """Without spaces, and the matchers of each series in the order of their labels."""

    def ordered(match: re.Match[str]) -> str:
        return "{" + ",".join(sorted(re.split(r",(?=\w+[!=])", match[1]))) + "}"

    return re.sub(r"\{(.*?)\}", ordered, promql).replace(" ", "")
