"""The files of monitoring on a host: exporters everywhere, the servers on the monitoring host."""

from __future__ import annotations

from typing import Any

import yaml

from deploys.components.monitoring import collected, consoles, routing, rules, targets
from deploys.components.monitoring.exporters import (
    BLACKBOX_CONFIG,
    POSTGRES_QUERIES,
    Exporter,
    exporters,
    measured_services,
    variables,
)
from deploys.components.monitoring.rule import duration
from deploys.components.monitoring.section import section
from deploys.components.nginx import model as nginx
from mainstay.files import ManagedFile
from mainstay.inventory import Environment, Host
from mainstay.render import render

CONFIG = "/etc/prometheus/prometheus.yml"
RULES = "/etc/prometheus/rules/mainstay.yml"
ALERTMANAGER = "/etc/prometheus/alertmanager.yml"
OWN_FOLDERS = ["/etc/prometheus/rules", consoles.FOLDER]
METRICS_SITE = "/etc/nginx/services/00-metrics.conf"
SERVERS = ("prometheus-alertmanager", "prometheus")
"""In the order in which they start: an alert that nobody took is told again only after a minute."""


def files(env: Environment, host: Host) -> list[ManagedFile]:
    """What `mainstay render` prints."""
    found = [managed for exporter in exporters(env, host) for managed in of_exporter(env, exporter)]
    found += collected.files(env, host)
    if measured_services(env, host):
        found.append(metrics_site(env, host))
    if "monitoring" in host.roles:
        found += [managed for server in SERVERS for managed in start(env, server)]
        found += [*prometheus(env, host), alertmanager(env)]
    return found


def of_exporter(env: Environment, exporter: Exporter) -> list[ManagedFile]:
    """How the exporter is started, and what it reads."""
    name = exporter.package
    values = variables(env, exporter)
    secret = exporter.kind == "redis"
    found = _started(name, values, mode=0o600 if secret else 0o644, sees_host=exporter.kind == "node")
    if exporter.kind == "postgres":
        found.append(ManagedFile(POSTGRES_QUERIES, render("monitoring/postgres-queries.yml.j2")))
    if exporter.kind == "blackbox":
        found.append(ManagedFile(BLACKBOX_CONFIG, _yaml({"modules": targets.blackbox_modules(env)})))
    return found


def start(env: Environment, server: str) -> list[ManagedFile]:
    """How a server is started: on loopback, where an operator's tunnel ends."""
    own = section(env)
    if server == "prometheus":
        kept = f"--storage.tsdb.retention.time={duration(own.retention)}"
        arguments = f"--web.listen-address=127.0.0.1:{own.ports.prometheus} {kept}"
    else:
        arguments = f"--web.listen-address=127.0.0.1:{own.ports.alertmanager} --cluster.listen-address="
    return _started(server, {"ARGS": arguments})


def prometheus(env: Environment, host: Host) -> list[ManagedFile]:
    """What Prometheus asks, and what it makes of it."""
    own = section(env)
    interval = duration(own.interval)
    config = {
        "global": {
            "scrape_interval": interval,
            "scrape_timeout": duration(min(own.interval, 10.0)),
            "evaluation_interval": interval,
            "external_labels": {"system": env.system, "environment": env.env},
        },
        "rule_files": [RULES],
        "alerting": {
            "alertmanagers": [{"static_configs": [{"targets": [f"127.0.0.1:{own.ports.alertmanager}"]}]}],
        },
        "scrape_configs": targets.scrape_configs(env, host),
    }
    return [ManagedFile(CONFIG, _yaml(config)), ManagedFile(RULES, _yaml(rules.as_yaml(env))), *consoles.files(env)]


def alertmanager(env: Environment) -> ManagedFile:
    """Whom Alertmanager tells; who reads the URLs could post there."""
    return ManagedFile(ALERTMANAGER, _yaml(routing.as_yaml(env)), "root", "prometheus", 0o640)


def metrics_site(env: Environment, host: Host) -> ManagedFile:
    """nginx's way to each instance, which listens on loopback alone."""
    locations = {
        targets.metrics_path(service, port): f"http://127.0.0.1:{port}{section(env).metrics[service.name]}"
        for service in measured_services(env, host)
        for ports in targets.instance_ports(service).values()
        for port in ports
    }
    listen = metrics_address(env, host)
    allowed = [server.address for server in env.hosts_of("monitoring")]
    text = render("monitoring/metrics.conf.j2", listen=listen, locations=locations, allowed=allowed)
    return ManagedFile(METRICS_SITE, text)


def metrics_address(env: Environment, host: Host) -> str:
    """Where nginx gives the metrics of the host's services."""
    return f"{nginx.listen_address(host)}:{section(env).ports.services}"


def _started(name: str, values: dict[str, str], *, mode: int = 0o644, sees_host: bool = False) -> list[ManagedFile]:
    writes = "/var/lib/prometheus" if name in SERVERS else ""
    return [
        ManagedFile(f"/etc/default/{name}", render("monitoring/default.j2", values=values), mode=mode),
        ManagedFile(
            f"/etc/systemd/system/{name}.service.d/50-mainstay.conf",
            render("monitoring/unit.conf.j2", sees_host=sees_host, writes=writes),
        ),
    ]


class _Dumper(yaml.SafeDumper):
    """YAML as people write it: no anchors, lists below their key."""

    def ignore_aliases(self, data: Any) -> bool:
        """What is named twice is written twice."""
        return True

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:
        """Lists stand further in than their key."""
        super().increase_indent(flow, False)


def _quoted(dumper: yaml.SafeDumper, text: routing.Quoted) -> yaml.Node:
    return dumper.represent_scalar("tag:yaml.org,2002:str", str(text), style='"')


_Dumper.add_representer(routing.Quoted, _quoted)


def _yaml(data: dict[str, Any]) -> str:
    text = yaml.dump(data, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=10000)
    return render("monitoring/yaml.j2", text=text)
