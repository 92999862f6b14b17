"""Alertmanager: which severity goes to whom, in what shape, and which alert makes another one needless."""

from __future__ import annotations

from typing import Any

from deploys.components.monitoring.measures import measures
from deploys.components.monitoring.rule import duration
from deploys.components.monitoring.rules import scales, severities
from deploys.components.monitoring.section import Hours, Receiver, section
from mainstay.inventory import Environment

NOBODY = "nobody"
_TITLE = (
    "[{{ .Status | toUpper }}] {{ .CommonLabels.system }}/{{ .CommonLabels.environment }} "
    "{{ .CommonLabels.severity }} {{ .CommonLabels.alertname }}"
)
_TEXT = (
    "{{ range .Alerts }}{{ .Annotations.summary }}\n"
    "{{ with .Annotations.action }}{{ . }}: {{ end }}{{ .Annotations.runbook_url }}\n{{ end }}"
)


class Quoted(str):
    """Text that is written in double quotes: a secret's placeholder, whatever its value will hold."""


def as_yaml(env: Environment) -> dict[str, Any]:
    """`alertmanager.yml`; URLs are placeholders of secrets."""
    own = section(env)
    return {
        "route": _route(env),
        "inhibit_rules": _inhibited(env),
        "receivers": [{"name": NOBODY}, *(_receiver(env, name, one) for name, one in own.receivers.items())],
        "time_intervals": [_hours(name, hours) for name, hours in own.hours.items()],
    }


def _route(env: Environment) -> dict[str, Any]:
    own = section(env)
    always = {"matchers": ['alertname="Watchdog"'], "receiver": own.watchdog or NOBODY, "repeat_interval": "1m"}
    routes: list[dict[str, Any]] = [always]
    for severity in severities(env):
        route = own.routes.get(severity)
        if route is not None:
            hours = {"active_time_intervals": [route.hours]} if route.hours else {}
            repeat = duration(route.repeat)
            matchers = [f'severity="{severity}"']
            routes.append({"matchers": matchers, "receiver": route.receiver, "repeat_interval": repeat, **hours})
    return {
        "receiver": NOBODY,
        "group_by": ["system", "environment", "alertname", "severity"],
        "group_wait": duration(own.group_wait),
        "group_interval": duration(own.group_interval),
        "repeat_interval": "4h",
        "routes": routes,
    }


def _inhibited(env: Environment) -> list[dict[str, Any]]:
    """The worse of two severities of one alert is told; of a dead host not that its exporters are dead too.

    The inventory's severities and those of thresholds are two scales, and neither silences the other: P2 at 70 % must
    not hide what is critical at 90 %, and of an alert that is silenced half-way nobody is told the end.
    """
    milder = {worse: scale[index + 1 :] for scale in scales(env) for index, worse in enumerate(scale)}
    same = ["alertname", *dict.fromkeys(label for measure in measures(env).values() for label in measure.of), "site"]
    found: list[dict[str, Any]] = [
        {
            "source_matchers": [f'severity="{worse}"'],
            "target_matchers": [f'severity=~"{"|".join(others)}"'],
            "equal": same,
        }
        for worse, others in milder.items()
        if others
    ]
    needless = "TargetDown|InstancesMissing|MetricMissing"
    down = {"source_matchers": ['alertname="HostDown"'], "target_matchers": [f'alertname=~"{needless}"']}
    return [*found, {**down, "equal": ["host"]}]


def _receiver(env: Environment, name: str, receiver: Receiver) -> dict[str, Any]:
    url = Quoted(env.secrets.get(receiver.url))
    if receiver.kind == "webhook":
        return {"name": name, "webhook_configs": [{"url": url, "send_resolved": True}]}
    channel = {"channel": receiver.channel} if receiver.channel else {}
    slack = {"api_url": url, **channel, "send_resolved": True, "title": _TITLE, "text": _TEXT, "fallback": _TITLE}
    return {"name": name, "slack_configs": [slack]}


def _hours(name: str, hours: Hours) -> dict[str, Any]:
    times = [{"start_time": hours.start, "end_time": hours.end}]
    return {"name": name, "time_intervals": [{"weekdays": hours.days, "times": times, "location": hours.zone}]}
