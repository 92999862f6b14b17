"""The `monitoring` section: what is measured where, and who is told. Thresholds and alerts are the common schema's."""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from mainstay.inventory import (
    Duration,
    Environment,
    Identifier,
    Line,
    Name,
    Port,
    SecretName,
    StrictModel,
    UrlPath,
    per_env,
)
from mainstay.inventory.fields import matching

ROLES = frozenset({"*", "monitoring"})
"""Exporters stand on every host, the servers on those with role `monitoring`."""

WARNING, CRITICAL = "warning", "critical"
"""The severities of what a threshold's `warn` and `crit` say, beside those of the inventory's `severity`."""

Weekday = Literal["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"]
Clock = Annotated[str, AfterValidator(matching(r"([01]\d|2[0-3]):[0-5]\d|24:00", "a time such as 09:00"))]
Zone = Annotated[str, AfterValidator(matching(r"UTC|[A-Z][A-Za-z_]+(/[A-Z][A-Za-z_-]+)+", "a zone such as Asia/Tokyo"))]

Title = Annotated[str, AfterValidator(matching(r"[A-Za-z0-9][A-Za-z0-9 ,./%()-]{0,60}", "a short title"))]


def _query(value: str) -> str:
    if not value.strip() or not value.isprintable() or "`" in value:
        raise ValueError("PromQL on one line, without backquotes")
    return value


Query = Annotated[str, AfterValidator(_query)]


def _runbook(value: str) -> str:
    if not re.fullmatch(r"https://[^\s\"'<>{}]*\{alert\}[^\s\"'<>{}]*", value):
        raise ValueError("an https URL in which {alert} stands for the alert's name")
    return value


class Receiver(StrictModel):
    """Who is told, and in which shape: Alertmanager's own JSON, or what Slack and its likes take."""

    kind: Literal["webhook", "slack"]
    url: SecretName = Field(description="name of the secret that holds the URL: who has it can post")
    channel: Line | None = Field(None, description="for slack; by default the one that the URL belongs to")


class Route(StrictModel):
    """Where the alerts of one severity go."""

    receiver: Name
    repeat: Duration = Field("4h", validate_default=True, ge=60, description="told again while it lasts")
    hours: Name | None = Field(None, description="only in these hours; what begins outside of them is told then")


class Hours(StrictModel):
    """A time of the week in which people are told of what can wait."""

    days: list[Weekday] = Field(min_length=1)
    start: Clock
    end: Clock
    zone: Zone = "UTC"


class Ports(StrictModel):
    """Where each program listens: the servers on loopback, exporters on the host's own address."""

    prometheus: Port = 9090
    alertmanager: Port = 9093
    blackbox: Port = 9115
    node: Port = 9100
    nginx: Port = 9113
    postgres: Port = 9187
    redis: Port = 9121
    services: Port = Field(9145, description="nginx of an app host passes to each instance's own metrics here")


class Days(StrictModel):
    """Something that runs out: told when fewer days are left than this."""

    warn: int = Field(21, ge=1, le=365)
    crit: int = Field(7, ge=1, le=365)


class Section(StrictModel):
    """How the environment is watched."""

    interval: Duration = per_env("15s", validate_default=True, ge=1, le=120, description="between two measurements")
    retention: Duration = per_env(
        "15d", validate_default=True, ge=3600, description="measurements are kept for so long"
    )
    runbooks: Annotated[str, AfterValidator(_runbook)] = Field(description="where an alert's runbook is; {alert}")
    metrics: dict[Name, UrlPath] = Field(default_factory=dict, description="service to the path of its own metrics")
    redis_user: Identifier | None = Field(None, description="the user of redis.users that the exporter logs in as")
    certificate_days: Days = Field(default_factory=Days)
    disk_full_within: Duration = Field(
        "24h", validate_default=True, ge=3600, description="told when a disk fills this soon"
    )
    receivers: dict[Name, Receiver] = Field(min_length=1)
    routes: dict[str, Route] = Field(description="severity to where its alerts go")
    panels: dict[Title, Query] = Field(default_factory=dict, description="of the business console: title to PromQL")
    hours: dict[Name, Hours] = Field(default_factory=dict)
    watchdog: Name | None = Field(None, description="the receiver that expects to hear all is well, always")
    group_wait: Duration = per_env("10s", validate_default=True, description="for others of the same kind to join")
    group_interval: Duration = per_env("1m", validate_default=True, ge=1, description="before news of a group are told")
    ports: Ports = Field(default_factory=Ports)


def section(env: Environment) -> Section:
    """The environment's own section."""
    return env.section("monitoring", Section)
