"""What Prometheus asks, and how often: jobs with their targets, each labelled with the host it speaks of."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import Any

from deploys.components.monitoring.exporters import exporters, measured_services
from deploys.components.monitoring.section import section
from deploys.components.nginx import model as nginx
from mainstay.inventory import Environment, HealthCheck, Host, Service


@dataclass(frozen=True)
class Target:
    """One thing that is asked.

    Attributes:
        address: `host:port`, or the URL of a probe.
        labels: what every series of it carries.
        meta: labels that steer the question and stand in no series (`__metrics_path__`, `__param_module`).
        needed: whether it must answer; the instances of a slot that waits for the next release need not.
    """

    address: str
    labels: dict[str, str]
    meta: dict[str, str] = field(default_factory=dict)
    needed: bool = True


@dataclass(frozen=True)
class Job:
    """Targets of one kind, which Prometheus asks itself or has the blackbox exporter probe."""

    name: str
    targets: list[Target] = field(default_factory=list)
    probed: bool = False


def jobs(env: Environment) -> list[Job]:
    """Every job that has a target."""
    ports = section(env).ports
    servers = env.hosts_of("monitoring")
    by_kind: dict[str, list[Target]] = {}
    for host in env.hosts.values():
        for exporter in exporters(env, host):
            target = Target(exporter.listen, {"host": host.name})
            if not exporter.loopback:
                by_kind.setdefault(exporter.kind, []).append(target)
    own = {"prometheus": ports.prometheus, "alertmanager": ports.alertmanager, "blackbox": ports.blackbox}
    found = [Job(kind, targets) for kind, targets in by_kind.items()]
    found += [Job(name, [Target(f"127.0.0.1:{port}", {})]) for name, port in own.items() if servers]
    found += [Job("services", _instances(env)), Job("health", _health(env), True), Job("tls", _tls(env), True)]
    found.append(Job("sites", [target for page in _pages(env) for target in _of_page(env, page)], True))
    return [job for job in found if job.targets]


def scrape_configs(env: Environment, host: Host) -> list[dict[str, Any]]:
    """The jobs as `prometheus.yml` on the monitoring host `host` takes them."""
    blackbox = f"127.0.0.1:{section(env).ports.blackbox}"
    return [_probe(job, blackbox) if job.probed else _scrape(job, host) for job in jobs(env)]


def _scrape(job: Job, host: Host) -> dict[str, Any]:
    groups = []
    for target in job.targets:
        groups.append({"targets": [target.address], "labels": {"host": host.name} | target.labels | target.meta})
    return {"job_name": job.name, "static_configs": groups}


def _probe(job: Job, blackbox: str) -> dict[str, Any]:
    groups = [{"targets": [target.address], "labels": target.labels | target.meta} for target in job.targets]
    return {
        "job_name": job.name,
        "metrics_path": "/probe",
        "static_configs": groups,
        "relabel_configs": [
            {"source_labels": ["__address__"], "target_label": "__param_target"},
            {"source_labels": ["__address__"], "target_label": "instance"},
            {"target_label": "__address__", "replacement": blackbox},
        ],
    }


def metrics_path(service: Service, port: int) -> str:
    """Where nginx of an app host gives the metrics of the instance on `port`."""
    return f"/{service.name}/{port}"


def instance_ports(service: Service) -> dict[str, list[int]]:
    """The ports of all instances that there may be, by slot."""
    return {slot: service.ports_of(slot, service.instances.max) for slot in ("blue", "green")}


def _instances(env: Environment) -> list[Target]:
    port = section(env).ports.services
    return [
        Target(
            f"{nginx.listen_address(host)}:{port}",
            {"host": host.name, "service": service.name, "slot": slot, "instance": f"{host.name}:{own}"},
            {"__metrics_path__": metrics_path(service, own)},
            needed=False,
        )
        for host in env.hosts.values()
        for service in measured_services(env, host)
        for slot, ports in instance_ports(service).items()
        for own in ports
    ]


def _probed(env: Environment) -> list[Service]:
    return [
        s for s in env.services.values() if s.port is not None and s.name in env.releases and "nginx" in env.sections
    ]


def _health(env: Environment) -> list[Target]:
    return [
        Target(
            f"http://{nginx.listen_address(host)}:{service.port}{check.path}",
            {"host": host.name, "service": service.name, "check": check.path},
            {"__param_module": f"{service.name}_{number}"},
        )
        for service in _probed(env)
        for host in env.hosts_of(service.role)
        for number, check in enumerate(service.health)
    ]


def _tls(env: Environment) -> list[Target]:
    if "nginx" not in env.sections or not nginx.section(env).sites:
        return []
    port = nginx.section(env).https_port
    return [
        Target(
            f"{nginx.listen_address(host)}:{port}",
            {"host": host.name, "site": env.domain},
            {"__param_module": "tls"},
        )
        for host in env.hosts_of("web")
    ]


@dataclass(frozen=True)
class _Page:
    """What a site must answer as clients ask for it: its index, or a health check by way of its proxy."""

    site: str
    name: str
    service: str
    path: str
    check: HealthCheck

    @property
    def module(self) -> str:
        """What has the blackbox exporter ask for it."""
        return f"{self.site}_{self.service}"


def _pages(env: Environment) -> list[_Page]:
    """The index of each static site, and the first health check below each prefix that clients can ask for."""
    found = []
    for name, site in (nginx.section(env).sites if "nginx" in env.sections else {}).items():
        server = site.names(env)[0]
        if site.static in env.releases:
            found.append(_Page(name, server, str(site.static), "/", HealthCheck(path="/")))
        for prefix, service in site.proxy.items():
            checks = env.services[service].health if service in env.releases else []
            asked = [(path, check) for check in checks if (path := site.outside(prefix, check.path)) is not None]
            found += [_Page(name, server, service, path, check) for path, check in asked[:1]]
    return found


def _of_page(env: Environment, page: _Page) -> list[Target]:
    port = nginx.section(env).https_port
    labels = {"site": page.name, "service": page.service, "check": page.path}
    return [
        Target(
            f"https://{nginx.listen_address(host)}:{port}{page.path}",
            {"host": host.name, **labels},
            {"__param_module": page.module},
        )
        for host in env.hosts_of("web")
    ]


def blackbox_modules(env: Environment) -> dict[str, Any]:
    """What the blackbox exporter asks: each health check of each service, the sites' certificate, and their pages."""
    modules = {
        f"{service.name}_{number}": _http(env.api_domain, check)
        for service in _probed(env)
        for number, check in enumerate(service.health)
    }
    if _tls(env):
        modules["tls"] = {"prober": "tcp", "timeout": "5s", "tcp": {"tls": True, **_encrypted(env.domain)}}
    for page in _pages(env):
        modules[page.module] = _http(page.name, page.check, encrypted=True)
    return modules


def _encrypted(name: str) -> dict[str, Any]:
    """Whether the certificate is the right one is nginx's verification; here it is taken, whoever signed it."""
    return {"tls_config": {"server_name": name, "insecure_skip_verify": True}}


def _http(name: str, check: HealthCheck, *, encrypted: bool = False) -> dict[str, Any]:
    """A probe by HTTP for the answer that a check wants, of the site or service that has this name."""
    wanted = [_in_json(key, value) for key, value in check.expect_json.items()]
    body = {"fail_if_body_not_matches_regexp": wanted} if wanted else {}
    http = {
        "valid_status_codes": [check.expect_status],
        "headers": {"Host": name},
        "follow_redirects": False,
        "preferred_ip_protocol": "ip4",
        **body,
        **(_encrypted(name) if encrypted else {}),
    }
    return {"prober": "http", "timeout": f"{check.timeout_s:g}s", "http": http}


def _in_json(key: str, value: Any) -> str:
    """A pattern for one key and its value, wherever it stands in the answer."""
    return f"{_literal(json.dumps(key))}\\s*:\\s*{_literal(json.dumps(value))}"


def _literal(text: str) -> str:
    """Text in an expression of RE2, which takes no backslash before a space as Python writes it."""
    return re.sub(r"([\\.+*?()|\[\]{}^$])", r"\\\1", text)
