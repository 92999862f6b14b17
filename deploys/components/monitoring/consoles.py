"""The dashboards: Prometheus' own console templates, which an operator opens over an SSH tunnel.

A panel's colours are the inventory's thresholds, the same that the rules are made of (DS-06).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from deploys.components.monitoring import collected
from deploys.components.monitoring.measures import measures
from deploys.components.monitoring.section import section
from deploys.components.monitoring.targets import jobs
from mainstay.files import ManagedFile
from mainstay.inventory import Environment
from mainstay.render import render

_UNIT = ("host", "unit")
FOLDER = "/etc/prometheus/consoles"


@dataclass(frozen=True)
class Panel:
    """One measurement, as a table of what is now and a graph of what was.

    Attributes:
        title: what it is.
        expr: PromQL.
        of: the labels that name a row.
        unit: written after the number.
        warn: from here on a row is amber; None never.
        crit: from here on it is red.
        falls: whether less is worse.
        says: the title in more words.
    """

    title: str
    expr: str
    of: tuple[str, ...]
    unit: str = ""
    warn: float | None = None
    crit: float | None = None
    falls: bool = False
    says: str = ""


@dataclass(frozen=True)
class Console:
    """One page."""

    name: str
    title: str
    panels: list[Panel]
    refresh_s: int | None = None
    """The browser asks for it anew this often; None leaves it to whoever looks."""

    @property
    def path(self) -> str:
        """Where Prometheus finds it; `/consoles/<name>.html` shows it."""
        return f"{FOLDER}/{self.name}.html"


def consoles(env: Environment) -> list[Console]:
    """The pages that have something to show."""
    found = [
        Console("system-overview", "System overview", [*_of(env, "cpu_pct", "memory_pct", "disk_pct"), *_hosts(env)]),
        Console("application-performance", "Application performance", _services(env)),
        Console("databases", "Databases and cache", _databases(env)),
        Console("realtime", "Real time", _realtime(env), refresh_s=10),
        Console("business-metrics", "Business metrics", _own(env)),
    ]
    return [console for console in found if console.panels]


def files(env: Environment) -> list[ManagedFile]:
    """A file a page, and the one that leads to them."""
    pages = consoles(env)
    links = [(page.name, page.title) for page in pages]
    common = {"system": env.system, "environment": env.env, "links": links}
    index = ManagedFile(
        f"{FOLDER}/index.html", render("monitoring/index.html.j2", title="Alerts", refresh_s=30, **common)
    )
    made = [
        ManagedFile(
            page.path,
            render(
                "monitoring/console.html.j2", title=page.title, panels=page.panels, refresh_s=page.refresh_s, **common
            ),
        )
        for page in pages
    ]
    return [index, *made]


def _of(env: Environment, *names: str) -> list[Panel]:
    """Panels of measures that are there, with their thresholds."""
    found = []
    for name, measure in measures(env).items():
        if name in names:
            limit = env.common.thresholds.get(name)
            warn, crit = (limit.warn, limit.crit) if limit else (None, None)
            shown = (measure.recorded, measure.of, measure.unit, warn, crit, measure.falls, measure.says)
            found.append(Panel(_title(measure.alert), *shown))
    return found


def _title(alert: str) -> str:
    """The name of an alert in words: `DatabaseCacheHits` is what `Database cache hits` are about."""
    first, *others = re.findall(r"[A-Z][a-z]*[0-9]*", alert)
    words = [first, *(word if word[-1].isdigit() else word.lower() for word in others)]
    return " ".join("CPU" if word.lower() == "cpu" else word for word in words)


def _rate(metric: str, by: str = "host", more: str = "") -> str:
    return f"sum by ({by}) (rate({metric}{more}[5m]))"


def _hosts(env: Environment) -> Iterator[Panel]:
    cables, disks = '{job="node",device!~"lo|veth.*"}', '{job="node"}'
    if any(job.name == "services" for job in jobs(env)):
        up = 'sum by (service, host) (up{job="services"})'
        yield Panel("Instances that answer", up, ("service", "host"))
    yield Panel("Received", _rate("node_network_receive_bytes_total", more=cables), ("host",), " B/s")
    yield Panel("Sent", _rate("node_network_transmit_bytes_total", more=cables), ("host",), " B/s")
    yield Panel("Read from disks", _rate("node_disk_read_bytes_total", more=disks), ("host",), " B/s")
    yield Panel("Written to disks", _rate("node_disk_written_bytes_total", more=disks), ("host",), " B/s")


def _services(env: Environment) -> list[Panel]:
    names = ("request_rate_per_min", "p95_ms", "p99_ms", "error_rate_pct", "db_connection_errors_per_s")
    units = []
    if collected.has_processes(env):
        # With what units have that may take as much as there is, too.
        units = [
            *_of(env, "unit_cpu_pct", "unit_memory_pct"),
            Panel("Unit memory, absolute", collected.MEMORY, _UNIT, " B"),
        ]
    return [*_of(env, *names), *units, *_of(env, "log_patterns_per_min")]


def _databases(env: Environment) -> list[Panel]:
    database = ("db_pool_pct", "db_query_ms", "db_cache_hit_pct", "db_disk_pct", "replication_lag_s")
    cache = ("redis_memory_pct", "redis_connections_pct", "redis_evictions_per_s", "cache_hit_pct")
    return [*_of(env, *database), *_tables(env), *_of(env, *cache)]


def _tables(env: Environment) -> list[Panel]:
    """What is done with each table."""
    if all(job.name != "postgres" for job in jobs(env)):
        return []
    of = {
        "Rows read by scans": "mainstay_table_rows_read",
        "Rows inserted": "mainstay_table_rows_inserted",
        "Rows updated": "mainstay_table_rows_updated",
        "Rows deleted": "mainstay_table_rows_deleted",
    }
    tables = ("datname", "relname")
    return [Panel(title, _rate(metric, "datname, relname"), tables, "/s") for title, metric in of.items()]


def _realtime(env: Environment) -> list[Panel]:
    """On one page what a person watches while something happens: hosts, answers, tables, cache (DS-05)."""
    names = ("cpu_pct", "memory_pct", "request_rate_per_min", "p95_ms", "error_rate_pct", "cache_hit_pct")
    return [*_of(env, *names), *_tables(env), *_of(env, "redis_memory_pct")]


def _own(env: Environment) -> list[Panel]:
    return [Panel(title, expr, ()) for title, expr in section(env).panels.items()]
