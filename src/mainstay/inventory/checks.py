"""Cross-checks of one environment: what no single value can tell."""

from __future__ import annotations

from mainstay.errors import Problem
from mainstay.inventory.environment import Environment


def run(env: Environment, *, complete: bool) -> list[Problem]:
    """Every clash; with `complete`, every reference to something that is not there as well."""
    return []
