"""Cross-checks of `thresholds`, `alerts` and `severity`: limits in order, severities that exist."""

from __future__ import annotations

from collections.abc import Iterator

from mainstay.errors import Problem
from mainstay.inventory.environment import Environment
from mainstay.inventory.system import Threshold

THRESHOLD_UNITS = ("_pct", "_ms", "_per_min", "_per_s", "_s", "_h", "_days", "_bytes", "_count")


def thresholds(env: Environment) -> Iterator[Problem]:
    """A key without its unit, more than all, warning at or beyond critical (a hit rate counts down)."""
    for name, threshold in env.common.thresholds.items():
        key = ("thresholds", name)
        if not name.endswith(THRESHOLD_UNITS):
            yield env.problem(key, "a threshold without a unit", f"a name that ends in {', '.join(THRESHOLD_UNITS)}")
        if not threshold.limits:
            yield env.problem(key, "neither warn nor crit", "one of them at least")
        elif name.endswith("_pct") and max(threshold.limits.values()) > 100:
            yield env.problem(key, _said(threshold), "percentages, 0 to 100")
        elif len(threshold.limits) > 1 and not _in_order(name, **threshold.limits):
            relation = "warn > crit" if _counts_down(name) else "warn < crit"
            yield env.problem(key, _said(threshold), relation)


def _said(threshold: Threshold) -> str:
    return ", ".join(f"{name} {limit:g}" for name, limit in threshold.limits.items())


def _counts_down(name: str) -> bool:
    return "hit" in name


def _in_order(name: str, warn: float, crit: float) -> bool:
    return warn > crit if _counts_down(name) else warn < crit


def severities(env: Environment) -> Iterator[Problem]:
    """Alerts of a severity that is not described, two severities of one rank."""
    known = env.common.severity
    for name in env.common.alerts:
        if name not in known:
            yield env.problem(
                ("alerts", name), "a severity that is not described", f"one of {', '.join(known) or 'none'}"
            )
    ranks: dict[int, str] = {}
    for name, severity in known.items():
        if severity.rank in ranks:
            found = f"rank {severity.rank}, which {ranks[severity.rank]} has"
            yield env.problem(("severity", name, "rank"), found, "a rank of its own")
        ranks.setdefault(severity.rank, name)
