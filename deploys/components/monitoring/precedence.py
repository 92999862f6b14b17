"""What people hear first: no alert twice in a severity, and of two severities the worse has the farther limit."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from deploys.components.monitoring import limits
from deploys.components.monitoring.measure import Measure
from deploys.components.monitoring.measures import measures
from deploys.components.monitoring.rules import scales
from deploys.components.monitoring.section import CRITICAL, WARNING
from mainstay.inventory import Environment, Problem
from mainstay.inventory.yamlfile import KeyPath, dotted


@dataclass(frozen=True)
class _Limit:
    """One limit of a measure, the severity of who hears of it, and where the inventory says so."""

    measure: Measure
    severity: str
    number: float
    key: KeyPath

    @property
    def far(self) -> float:
        """How far from well it is, the same way for measures that rise and that fall."""
        return -self.number if self.measure.falls else self.number


def check(env: Environment) -> list[Problem]:
    """Alerts that are twice in one severity, and those that are told before the milder ones of their measure."""
    known = measures(env)
    return [*_twice(env, known), *_order(env, [*_of_thresholds(env, known), *_of_alerts(env, known)])]


def _twice(env: Environment, known: dict[str, Measure]) -> Iterator[Problem]:
    """Rules whose alerts nobody can tell apart: one that ends would end the other."""
    told = limits.of_thresholds(env, known)
    first: dict[tuple[str, str, str], KeyPath] = {(of, r.severity, r.alert): ("thresholds", of) for of, r in told}
    for severity, alerts in env.common.alerts.items():
        for index, alert in enumerate(alerts):
            found = limits.of_alert(env, known, severity, alert)
            if found is None:
                continue
            key, same = ("alerts", severity, index), (found[0], severity, found[1].alert)
            if same in first:
                expected = "each alert once in a severity, or with a name of its own (called)"
                yield env.problem(key, f"{alert.name}, which {dotted(first[same])} is about", expected)
            first.setdefault(same, key)


def _of_thresholds(env: Environment, known: dict[str, Measure]) -> Iterator[_Limit]:
    severity = {"warn": WARNING, "crit": CRITICAL}
    for name, threshold in env.common.thresholds.items():
        for word, number in threshold.limits.items() if name in known else ():
            yield _Limit(known[name], severity[word], number, ("thresholds", name, word))


def _of_alerts(env: Environment, known: dict[str, Measure]) -> Iterator[_Limit]:
    for severity, alerts in env.common.alerts.items():
        for index, alert in enumerate(alerts):
            measure = known.get(limits.measure_of(alert) or "")
            if measure is not None and alert.limit is not None and limits.faces(alert, measure):
                word, number = alert.limit
                yield _Limit(measure, severity, number, ("alerts", severity, index, word))


def _order(env: Environment, found: list[_Limit]) -> Iterator[Problem]:
    """Of several in one severity the mildest counts; an equal one may wait for longer."""
    for scale in scales(env):
        ranked = sorted((one for one in found if one.severity in scale), key=lambda one: -one.far)
        mildest = {(one.measure.name, one.severity): one for one in ranked}
        for (name, severity), one in mildest.items():
            milder = [mildest[name, other] for other in scale[scale.index(severity) + 1 :] if (name, other) in mildest]
            # Two limits of one threshold have been held against one another by the common schema.
            others = [other for other in milder if "alerts" in (one.key[0], other.key[0])]
            farthest = max(others, key=lambda other: other.far, default=one)
            if farthest.far > one.far:
                yield _problem(env, one, farthest)


def _problem(env: Environment, one: _Limit, milder: _Limit) -> Problem:
    found = f"{one.number:g}, milder than the {milder.number:g} of {dotted(milder.key)}"
    bound = "at most" if one.measure.falls else "at least"
    return env.problem(one.key, found, f"{bound} {milder.number:g}, as {one.severity} is worse than {milder.severity}")
