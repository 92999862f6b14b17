"""Rules of the inventory: `thresholds` (severities `warning` and `critical`) and `alerts` (its own severities)."""

from __future__ import annotations

import re
from typing import NamedTuple

from deploys.components.monitoring.exporters import has_postgres, has_redis
from deploys.components.monitoring.measure import Measure
from deploys.components.monitoring.rule import Rule
from deploys.components.monitoring.section import CRITICAL, WARNING
from mainstay.inventory import Environment
from mainstay.inventory.system import Alert, Threshold

LASTS_S = 300.0
"""How long what has no duration of its own must last (MT-48)."""

_FAILS = re.compile(r"health fails ([1-9][0-9]?) times in ([1-9][0-9]?)m")


class _Lost(NamedTuple):
    """An alert about a server that is gone: its rule's name, the job and the metric of its exporter, the role of those
    whose loss it is (a replica's is none of the database), and what people call it."""

    alert: str
    job: str
    up: str
    role: str
    server: str

    def expr(self, env: Environment) -> str:
        """The exporter that is away is as good as a server that is: nobody knows."""
        of = f'host=~"{"|".join(host.name for host in env.hosts_of(self.role))}"'
        return f'({self.up}{{{of}}} == 0) or (up{{job="{self.job}",{of}}} == 0)'


_LOST = {
    "database_lost": _Lost("PostgresDown", "postgres", "pg_up", "db", "PostgreSQL"),
    "redis_lost": _Lost("RedisDown", "redis", "redis_up", "cache", "Redis"),
}


def of_thresholds(env: Environment, known: dict[str, Measure]) -> list[tuple[str, Rule]]:
    """A rule a limit, with the measure that it is about."""
    found = []
    for name, threshold in env.common.thresholds.items():
        for severity, limit in ((WARNING, threshold.warn), (CRITICAL, threshold.crit)):
            if name in known and limit is not None:
                found.append((name, _beyond(known[name], limit, severity, threshold)))
    return found


def _beyond(measure: Measure, limit: float, severity: str, said: Threshold | Alert) -> Rule:
    lasts = LASTS_S if said.for_ is None else said.for_
    where = ", ".join(f"{{{{ $labels.{label} }}}}" for label in measure.of)
    sign, word = ("<", "below") if measure.falls else (">", "above")
    summary = f"{where}: {{{{ $value | printf `%.1f` }}}}{measure.unit} {measure.says}, {word} {limit:g}"
    action = said.action if isinstance(said, Threshold) else None
    return Rule(said.called or measure.alert, f"{measure.recorded} {sign} {limit:g}", severity, lasts, summary, action)


def measure_of(alert: Alert) -> str | None:
    """The measure that an alert of the inventory speaks of, None where it speaks of something that is there or not."""
    return f"{alert.name}_{alert.limit[0].partition('_')[2]}" if alert.limit is not None else None


def faces(alert: Alert, measure: Measure) -> bool:
    """Whether the alert's limit is on the side on which the measure is worse."""
    return alert.limit is not None and alert.limit[0].startswith("below" if measure.falls else "above")


def giver(alert: Alert) -> str | None:
    """What an alert without a limit needs; None where there is no rule for it, whatever the system has."""
    if alert.name == "service_down":
        return "a service behind nginx" if _FAILS.fullmatch(alert.rule or "") else None
    return f"a {_LOST[alert.name].server} that Mainstay runs" if alert.name in _LOST else None


def given(env: Environment, alert: Alert) -> bool:
    """Whether the environment has what `giver` names."""
    if giver(alert) is None:
        return False
    if alert.name == "service_down":
        return "nginx" in env.sections and any(service.port is not None for service in env.services.values())
    has = has_postgres if alert.name == "database_lost" else has_redis
    return any(has(env, host) for host in env.hosts.values())


def of_alerts(env: Environment, known: dict[str, Measure]) -> list[tuple[str, Rule]]:
    """A rule an alert, with the measure that it is about; empty where it is about something that is there or not."""
    every = [(severity, alert) for severity, alerts in env.common.alerts.items() for alert in alerts]
    found = [of_alert(env, known, severity, alert) for severity, alert in every]
    return [one for one in found if one is not None]


def of_alert(env: Environment, known: dict[str, Measure], severity: str, alert: Alert) -> tuple[str, Rule] | None:
    """The rule of one alert, with the measure that it is about; None where nothing gives what it speaks of."""
    name = measure_of(alert)
    if name in known and alert.limit is not None:
        return name, _beyond(known[name], alert.limit[1], severity, alert)
    return ("", _event(env, alert, severity)) if given(env, alert) else None


def _event(env: Environment, alert: Alert, severity: str) -> Rule:
    if alert.name in _LOST:
        lost, lasts = _LOST[alert.name], 60.0 if alert.for_ is None else alert.for_
        summary = f"{{{{ $labels.host }}}}: {lost.server} does not answer"
        return Rule(alert.called or lost.alert, lost.expr(env), severity, lasts, summary)
    match = _FAILS.fullmatch(alert.rule or "")
    assert match is not None  # noqa: S101  the model refuses other words
    times, minutes = match.groups()
    expr = f'count_over_time((probe_success{{job="health"}} == 0)[{minutes}m:1m]) >= {times}'
    summary = f"{{{{ $labels.service }}}} on {{{{ $labels.host }}}}: {{{{ $labels.check }}}} failed {times} times"
    return Rule(alert.called or "ServiceDown", expr, severity, 0.0, f"{summary} in {minutes} minutes")
