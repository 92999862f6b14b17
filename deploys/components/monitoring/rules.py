"""The rules of an environment: what is recorded, and what somebody is told about.

From three sources: the inventory's thresholds and alerts (`limits.py`), and what is wrong anywhere (`always.py`).
"""

from __future__ import annotations

from typing import Any

from deploys.components.monitoring.always import always
from deploys.components.monitoring.limits import of_alerts, of_thresholds
from deploys.components.monitoring.measures import measures
from deploys.components.monitoring.rule import Group, as_group
from deploys.components.monitoring.section import CRITICAL, WARNING, section
from mainstay.inventory import Environment


def groups(env: Environment) -> list[Group]:
    """Every rule of the environment; each measure is recorded once, whether or not anything is told of it."""
    known = measures(env)
    told = [*of_thresholds(env, known), *of_alerts(env, known)]
    found = [Group(m.name, [rule for of, rule in told if of == m.name], m) for m in known.values()]
    events = [rule for of, rule in told if of not in known]
    return [*found, *([Group("events", events)] if events else []), *always(env, {of for of, _ in told})]


def severities(env: Environment) -> list[str]:
    """Every severity that an alert may have, the worst first."""
    return list(dict.fromkeys([*ranked(env), CRITICAL, WARNING]))


def ranked(env: Environment) -> list[str]:
    """The inventory's own severities, the worst first."""
    return sorted(env.common.severity, key=lambda name: env.common.severity[name].rank)


def scales(env: Environment) -> list[list[str]]:
    """The inventory's own severities and those of thresholds, the worst of each first: neither silences the other."""
    return [[name for name in ranked(env) if name not in (CRITICAL, WARNING)], [CRITICAL, WARNING]]


def as_yaml(env: Environment) -> dict[str, Any]:
    """The rules file."""
    return {"groups": [as_group(group, section(env).runbooks) for group in groups(env)]}
