"""Monitoring on a host: exporters, then on the monitoring host the servers, each with its files checked by itself."""

from __future__ import annotations

import shlex

from pyinfra import host as target
from pyinfra.api import deploy

from deploys.components.monitoring import collected, files
from deploys.components.monitoring.exporters import exporters, has_nginx, measured_services
from deploys.operations import units
from deploys.operations.files import KIT, installed
from mainstay import context
from mainstay.files import FileSet
from mainstay.inventory import Environment, Host


def needs(environment: Environment, member: Host) -> list[str]:
    """The packages that it installs on the host."""
    servers = [*files.SERVERS, "curl"] if "monitoring" in member.roles else []
    return [*(exporter.package for exporter in exporters(environment, member)), "dbus", *servers]


def starts(environment: Environment, member: Host) -> list[str]:
    """The units that Debian starts with its packages."""
    servers = [f"{name}.service" for name in files.SERVERS] if "monitoring" in member.roles else []
    return [*(exporter.unit for exporter in exporters(environment, member)), *servers]


@deploy("monitoring")
def apply() -> None:
    """Exporters on every host; the servers where they belong."""
    environment, member = context.current()
    mine = {exporter.kind: exporter for exporter in exporters(environment, member)}
    # Over all kinds, with their positions: pyinfra would merge one host's first exporter with another's.
    for kind in target.loop(["node", "nginx", "postgres", "redis", "blackbox"]):
        if kind in mine:
            check = f"prometheus-blackbox-exporter --config.check --config.file={files.BLACKBOX_CONFIG}"
            wanted = FileSet(
                files.of_exporter(environment, mine[kind]),
                check=check if kind == "blackbox" else "",
                activate=control("restart", mine[kind].unit),
                units=[mine[kind].unit],
            )
            installed(wanted, name=f"Configure the {kind} exporter")
    if has_nginx(environment, member):
        measured = bool(measured_services(environment, member))
        site = FileSet(
            [files.metrics_site(environment, member)] if measured else [],
            remove=[] if measured else [files.METRICS_SITE],
            check=f"{KIT}/nginx-check",
            activate=f"{KIT}/nginx-reload",
        )
        installed(site, name="Way to the services' metrics")
    if environment.services_on(member):
        installed(collected.step(environment, member), name="Measure services by their logs and units")
    if "monitoring" in member.roles:
        _servers(environment, member)
    own = [collected.UNIT] if collected.measured(environment, member) else []
    units.running([*starts(environment, member), *own], name="Monitoring runs")


def control(*words: str) -> str:
    """The command line of the host's own script for monitoring."""
    return shlex.join([f"{KIT}/monitoring-control", *words])


def _servers(environment: Environment, member: Host) -> None:
    read = {
        "prometheus-alertmanager": [files.alertmanager(environment)],
        "prometheus": files.prometheus(environment, member),
    }
    for name in target.loop(list(read)):
        unit, paths = f"{name}.service", [managed.path for managed in read[name]]
        started = FileSet(files.start(environment, name), activate=control("restart", unit), units=[unit])
        installed(started, name=f"How {name} is started")
        configuration = FileSet(
            read[name],
            check=control("check", name.removeprefix("prometheus-")),
            activate=control("reload", unit),
            units=[unit],
            only=files.OWN_FOLDERS if name == "prometheus" else [],
            in_effect=control("in-effect", unit, *paths),
        )
        installed(configuration, name=f"Configure {name}")
