"""systemd units as they are."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass

from pyinfra.api import FactBase
from typing_extensions import override

from mainstay import families

_WANTED = "Id,LoadState,UnitFileState,ActiveState,SubState,Result,NRestarts,MainPID"
_ASKED = families.Words(f"systemctl show --property={_WANTED} -- ", " || true")


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
        return _ASKED.command(" ".join(shlex.quote(unit) for unit in units))

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


def _key(command: str) -> str | None:
    """Units that are named whole: systemctl says nothing, or more than one block, of a pattern."""
    names = _ASKED.named(command)
    return "" if names and not any(set("*?[") & set(name) for name in names) else None


def _joined(commands: Sequence[str]) -> str:
    names = dict.fromkeys(name for command in commands for name in _ASKED.named(command))
    return _ASKED.command(" ".join(shlex.quote(name) for name in names))


def _parted(commands: Sequence[str], out: bytes) -> list[bytes] | None:
    """systemctl prints a block for each unit, in the order of the names; `Id` may be another name of it."""
    names = list(dict.fromkeys(name for command in commands for name in _ASKED.named(command)))
    blocks = out.removesuffix(b"\n").split(b"\n\n")
    if len(blocks) != len(names) or not all(blocks):
        return None
    of_unit = dict(zip(names, blocks, strict=True))
    return [b"\n\n".join(of_unit[name] for name in _ASKED.named(command)) + b"\n" for command in commands]


families.register("units", families.Family(_key, _joined, _parted))
