"""Which exporters a host has, and how each is started: what it measures, as whom, on which address."""

from __future__ import annotations

from dataclasses import dataclass

from deploys.components.monitoring.section import section
from deploys.components.nginx import model as nginx
from deploys.components.postgres import model as postgres
from deploys.components.redis import model as redis
from mainstay.inventory import Environment, Host, Service

POSTGRES_QUERIES = "/etc/prometheus/postgres-queries.yml"
BLACKBOX_CONFIG = "/etc/prometheus/blackbox.yml"
LOOPBACK = "127.0.0.1"
TEXTFILES = "/var/lib/prometheus/node-exporter"
"""Where others leave measurements for the node exporter, a file `*.prom` each (backups their time)."""


@dataclass(frozen=True)
class Exporter:
    """One exporter on one host.

    Attributes:
        kind: what it measures; package and unit are `prometheus-<kind>-exporter`.
        address: where it listens, without the port.
        port: where it listens.
    """

    kind: str
    address: str
    port: int

    @property
    def package(self) -> str:
        """Debian's package."""
        return f"prometheus-{self.kind}-exporter"

    @property
    def unit(self) -> str:
        """Debian's unit."""
        return f"{self.package}.service"

    @property
    def listen(self) -> str:
        """Where it listens, as its flag and Prometheus take it."""
        return f"{self.address}:{self.port}"

    @property
    def loopback(self) -> bool:
        """Whether only the host itself asks it."""
        return self.address == LOOPBACK


def exporters(env: Environment, host: Host) -> list[Exporter]:
    """The exporters of the host: one for what it is, and one for each thing that it runs."""
    there = {
        "node": True,
        "nginx": has_nginx(env, host),
        "postgres": has_postgres(env, host),
        "redis": has_redis(env, host),
        "blackbox": "monitoring" in host.roles,
    }
    ports = section(env).ports
    # Prometheus, beside it, is the only one that has the blackbox exporter ask something.
    addresses = {"blackbox": LOOPBACK}
    return [
        Exporter(kind, addresses.get(kind, nginx.listen_address(host)), getattr(ports, kind))
        for kind, wanted in there.items()
        if wanted
    ]


def has_nginx(env: Environment, host: Host) -> bool:
    """Whether the host has Mainstay's nginx."""
    return "nginx" in env.sections and bool(nginx.ROLES.intersection(host.roles))


def has_postgres(env: Environment, host: Host) -> bool:
    """Whether the host has a cluster that Mainstay runs."""
    there = "postgres" in env.sections and not postgres.section(env).managed
    return there and bool(postgres.ROLES.intersection(host.roles))


def has_redis(env: Environment, host: Host) -> bool:
    """Whether the host has a Redis that Mainstay runs."""
    there = "redis" in env.sections and not redis.section(env).managed
    return there and bool(redis.ROLES.intersection(host.roles))


def measured_services(env: Environment, host: Host) -> list[Service]:
    """The host's released services that say their own metrics."""
    names = section(env).metrics
    return [s for s in env.services_on(host) if s.name in names and s.name in env.releases and s.kind != "static"]


def monitor_role(env: Environment) -> tuple[str, str] | None:
    """The role of PostgreSQL that may only watch, and a database that it may connect to."""
    found = ((name, role.databases[0]) for name, role in postgres.section(env).roles.items() if role.kind == "monitor")
    return next(found, None)


def variables(env: Environment, exporter: Exporter) -> dict[str, str]:
    """The environment of its unit; a secret is its placeholder."""
    listen = f"--web.listen-address={exporter.listen}"
    if exporter.kind == "node":
        return {"ARGS": f"{listen} {_node(env)}"}
    if exporter.kind == "nginx":
        status = f"http://127.0.0.1:{nginx.section(env).status_port}/nginx_status"
        return {"ARGS": f"-web.listen-address={exporter.listen} -nginx.scrape-uri={status}"}
    if exporter.kind == "postgres":
        return {"DATA_SOURCE_NAME": _dsn(env), "ARGS": f"{listen} --extend.query-path={POSTGRES_QUERIES}"}
    if exporter.kind == "redis":
        return {**_redis(env), "ARGS": f"-web.listen-address={exporter.listen}"}
    return {"ARGS": f"{listen} --config.file={BLACKBOX_CONFIG}"}


def _node(env: Environment) -> str:
    units = [
        f"{env.system}-[^.]+",
        "mainstay-[^.]+",
        "nginx",
        "postgresql@[^.]+",
        "pgbouncer",
        "redis-server",
        "scylla-[^.]+",
        "prometheus[^.]*",
        "ssh",
        "chrony",
        "nftables",
        "rsyslog",
        "logrotate",
    ]
    included = f"--collector.systemd.unit-include=({'|'.join(units)})[.]service"
    return f"--collector.systemd {included} --collector.textfile.directory={TEXTFILES}"


def _dsn(env: Environment) -> str:
    """By the local socket, where the server knows the system user `prometheus`: no password anywhere."""
    role = monitor_role(env)
    assert role is not None  # noqa: S101  the model refuses an inventory without one
    name, database = role
    return f"user={name} dbname={database} host=/var/run/postgresql port={postgres.section(env).port} sslmode=disable"


def _redis(env: Environment) -> dict[str, str]:
    server, user = redis.section(env), section(env).redis_user or ""
    return {
        "REDIS_ADDR": f"redis://127.0.0.1:{server.port}",
        "REDIS_USER": user,
        "REDIS_PASSWORD": str(env.secrets.get(server.users[user].password)),
    }
