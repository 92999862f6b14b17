"""systemd units as they are."""

from __future__ import annotations

import shlex
from dataclasses import dataclass

from pyinfra.api import FactBase
from typing_extensions import override


@dataclass(frozen=True)
class UnitState:
    """`systemctl show` of one unit; `enabled` is the unit file's state, empty where there is no unit file."""

    enabled: str
    active: str
    sub: str
    result: str
    restarts: int
    main_pid: int


class UnitStates(FactBase[dict[str, UnitState]]):
    """State of each of `units` that systemd knows; what has no unit file and does not run is not in the answer."""

    @override
    def command(self, units: list[str]) -> str:  # type: ignore[override]
        names = " ".join(shlex.quote(unit) for unit in units)
        wanted = "Id,LoadState,UnitFileState,ActiveState,SubState,Result,NRestarts,MainPID"
        return f"systemctl show --property={wanted} -- {names} || true"

    @staticmethod
    @override
    def default() -> dict[str, UnitState]:
        return {}

    @override
    def process(self, output: list[str]) -> dict[str, UnitState]:
        return parse_units(output)


def parse_units(lines: list[str]) -> dict[str, UnitState]:
    """Reads blocks of `Key=value` lines, one unit a block, parted by empty lines."""
    states: dict[str, UnitState] = {}
    block: dict[str, str] = {}
    for line in [*lines, ""]:
        if line.strip():
            key, _, value = line.partition("=")
            block[key] = value
            continue
        if block.get("Id") and block.get("LoadState") != "not-found":
            states[block["Id"]] = UnitState(
                enabled=block.get("UnitFileState", ""),
                active=block.get("ActiveState", ""),
                sub=block.get("SubState", ""),
                result=block.get("Result", ""),
                restarts=_number(block.get("NRestarts", "")),
                main_pid=_number(block.get("MainPID", "")),
            )
        block = {}
    return states


def _number(text: str) -> int:
    return int(text) if text.isdigit() else 0
