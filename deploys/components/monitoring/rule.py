"""What a rule is, and how Prometheus reads it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from deploys.components.monitoring.measure import Measure


@dataclass(frozen=True)
class Rule:
    """One alerting rule.

    Attributes:
        alert: its name; rules of one name differ by severity, and the worse one silences the other.
        expr: PromQL; each series of it is an alert.
        severity: one of the inventory's, or `warning`, `critical`.
        for_s: seconds that it must last.
        summary: what somebody reads first, in Prometheus' own templates.
        action: what the inventory says to do.
        about: labels that tell rules of one name and severity apart.
    """

    alert: str
    expr: str
    severity: str
    for_s: float
    summary: str
    action: str | None = None
    about: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Group:
    """Rules that are evaluated one after another: what is recorded first, then what is made of it."""

    name: str
    rules: list[Rule]
    records: Measure | None = None


def as_group(group: Group, runbooks: str) -> dict[str, Any]:
    """The group as the rules file holds it."""
    recorded = [{"record": group.records.recorded, "expr": group.records.expr}] if group.records else []
    return {"name": group.name, "rules": [*recorded, *(_alerting(rule, runbooks) for rule in group.rules)]}


def _alerting(rule: Rule, runbooks: str) -> dict[str, Any]:
    annotations = {"summary": rule.summary, "runbook_url": runbooks.replace("{alert}", rule.alert)}
    if rule.action:
        annotations["action"] = rule.action
    return {
        "alert": rule.alert,
        "expr": rule.expr,
        "for": duration(rule.for_s),
        "labels": {"severity": rule.severity, **rule.about},
        "annotations": annotations,
    }


def duration(seconds: float) -> str:
    """Seconds as Prometheus writes them, whole: `90s`, `5m`, `4h`; what is shorter than one is in milliseconds."""
    if seconds != int(seconds):
        return f"{round(seconds * 1000)}ms"
    whole = int(seconds)
    for unit, factor in (("d", 86400), ("h", 3600), ("m", 60)):
        if whole and whole % factor == 0:
            return f"{whole // factor}{unit}"
    return f"{whole}s"
