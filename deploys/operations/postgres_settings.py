"""Pure: whether a setting in effect is the one that was written, whatever units either of them is given in."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from facts.postgres import SettingState

_NUMBER = re.compile(r"(?P<number>[-+]?[0-9]*\.?[0-9]+(e[-+]?[0-9]+)?)\s*(?P<unit>[A-Za-z]*)", re.IGNORECASE)
_UNIT = re.compile(r"(?P<count>[0-9]*)(?P<unit>[A-Za-z]+)")
_SIZES = {"B": 1, "kB": 1024, "MB": 1024**2, "GB": 1024**3, "TB": 1024**4}
_TIMES = {"us": 0.001, "ms": 1.0, "s": 1000.0, "min": 60_000.0, "h": 3_600_000.0, "d": 86_400_000.0}
_TRUE = {"on", "true", "yes", "1"}
_FALSE = {"off", "false", "no", "0"}


@dataclass(frozen=True)
class Difference:
    """A setting that is not in effect as written."""

    name: str
    found: str
    wanted: str
    needs_restart: bool


def differing(wanted: Mapping[str, str], found: Mapping[str, SettingState]) -> list[Difference]:
    """The settings whose value in effect is another; those that the server does not know yet are left out.

    Args:
        wanted: name to value, as in the configuration file.
        found: rows of pg_settings by name.
    """
    changes = []
    for name, value in wanted.items():
        state = found.get(name)
        if state is not None and not same(value, state):
            found_text = f"{state.setting}{' x ' if (state.unit or '')[:1].isdigit() else ''}{state.unit or ''}"
            changes.append(Difference(name, found_text, value, state.context == "postmaster"))
    return changes


def only_raised(wanted: Mapping[str, str], found: Mapping[str, SettingState]) -> bool:
    """Whether some of these settings, numbers all, are wanted higher than they are in effect, and none lower."""
    steps = [
        number - float(found[name].setting)
        for name in wanted
        if name in found and (number := in_unit(wanted[name], found[name].unit)) is not None
    ]
    return any(step > 0 for step in steps) and not any(step < 0 for step in steps)


def same(value: str, state: SettingState) -> bool:
    """Whether `value`, as a configuration file holds it, is what pg_settings shows as `state.setting`."""
    if state.vartype == "bool":
        return _truth(value) == _truth(state.setting)
    if state.vartype in ("integer", "real"):
        wanted = in_unit(value, state.unit)
        if wanted is None:
            return False
        shown = float(state.setting)
        # PostgreSQL rounds to its own unit.
        return round(wanted) == round(shown) if state.vartype == "integer" else abs(wanted - shown) < 1e-9
    if state.vartype == "enum":
        return value.lower() == state.setting.lower() or _truth(value) == _truth(state.setting) is not None
    return _list(value) == _list(state.setting)


def in_unit(value: str, unit: str | None) -> float | None:
    """The number of `value` (`256MB`, `5min`, `100`) in pg_settings' unit (`8kB`, `ms`); None where it has none."""
    match = _NUMBER.fullmatch(value.strip())
    if match is None:
        return None
    number = float(match["number"])
    if not match["unit"]:
        return number
    base = _UNIT.fullmatch(unit or "")
    if base is None:
        return None
    table: Mapping[str, float] = _SIZES if base["unit"] in _SIZES else _TIMES
    if match["unit"] not in table or base["unit"] not in table:
        return None
    return number * table[match["unit"]] / (table[base["unit"]] * int(base["count"] or 1))


def _truth(text: str) -> bool | None:
    lowered = text.lower()
    return True if lowered in _TRUE else False if lowered in _FALSE else None


def _list(text: str) -> list[str]:
    return [part.strip() for part in text.split(",")]
