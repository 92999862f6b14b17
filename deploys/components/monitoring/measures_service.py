"""What is measured of services: by what they say themselves, and by their logs."""

from __future__ import annotations

from deploys.components.monitoring import collected
from deploys.components.monitoring.exporters import measured_services
from deploys.components.monitoring.measure import Measure
from mainstay.inventory import Environment

LOGS = Measure(
    "log_patterns_per_min",
    "LogPattern",
    "entries of the log that match",
    ("service", "host", "pattern"),
    f'60 * sum by (service, host, pattern) (rate({collected.LOGGED}{{job="node"}}[5m]))',
    (),
    "node",
)


def of_services(pooled: tuple[str, ...]) -> list[Measure]:
    """What services in `monitoring.metrics` give; those in `pooled` tell of their connections to a database, too."""
    requests, of = 'http_requests_total{job="services"', ("service",)
    failed = f'rate({requests},status=~"5.."}}[5m]) or rate({requests},code=~"5.."}}[5m])'
    every = f"sum by (service) (rate({requests}}}[5m]))"
    return [
        Measure(
            "error_rate_pct",
            "ErrorRate",
            "requests that the service failed (5xx)",
            of,
            f"100 * (sum by (service) ({failed}) or 0 * {every}) / ({every} > 0)",
            ("http_requests_total",),
            "services",
        ),
        Measure(
            "request_rate_per_min",
            "RequestRate",
            "requests",
            of,
            f"60 * sum by (service) (rate({requests}}}[1m]))",
            ("http_requests_total",),
            "services",
        ),
        *(_latency(percent) for percent in (95, 99)),
        Measure(
            "db_connection_errors_per_s",
            "DatabaseConnectionErrors",
            "connections to the database that failed",
            of,
            'sum by (service) (rate(db_connection_errors_total{job="services"}[5m]))',
            ("db_connection_errors_total",),
            "services",
            givers=pooled,
        ),
    ]


def with_a_pool(env: Environment) -> tuple[str, ...]:
    """The measured services that connect to a database."""
    return tuple(sorted({s.name for host in env.hosts.values() for s in measured_services(env, host) if s.pool}))


def _latency(percent: int) -> Measure:
    metric = "http_request_duration_seconds_bucket"
    buckets = f'sum by (le, service) (rate({metric}{{job="services"}}[5m]))'
    return Measure(
        f"p{percent}_ms",
        f"LatencyP{percent}",
        f"time within which {percent} of 100 requests are answered",
        ("service",),
        f"1000 * histogram_quantile(0.{percent}, {buckets})",
        (metric,),
        "services",
    )
