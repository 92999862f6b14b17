"""The two slots of a service on a host (DP-12, DP-38): what each holds, which one takes requests, what runs."""

from __future__ import annotations

import json
import shlex
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from pyinfra.api import FactBase
from typing_extensions import override


@dataclass(frozen=True)
class Instance:
    """One instance by its port: whether it runs, and whether it starts at boot."""

    active: bool
    enabled: bool


@dataclass
class SlotsState:
    """`active` is the slot that nginx sends requests to, empty before the first release; `slots` what was put there."""

    active: str = ""
    current: str = ""
    slots: dict[str, dict[str, Any]] = field(default_factory=dict)
    instances: dict[int, Instance] = field(default_factory=dict)

    @property
    def serving(self) -> dict[str, Any]:
        """What the active slot was given; empty where there is none."""
        return self.slots.get(self.active, {})


class Slots(FactBase[SlotsState]):
    """The slots below `base`; `nginx` is the file that names the active one, `unit` the template's name before `@`."""

    @override
    def command(self, base: str, unit: str, nginx: str) -> str:  # type: ignore[override]
        folder, name, upstream = shlex.quote(base), shlex.quote(unit), shlex.quote(nginx)
        return (
            f"sed -n 's/^# slot /serves\\t/p' {upstream} 2>/dev/null; "
            f"t=$(readlink {folder}/current) && printf 'current\\t%s\\n' \"${{t##*/}}\"; "
            f'for s in blue green; do f={folder}/slots/$s.json; [ -f "$f" ] && '
            'printf \'slot\\t%s\\t%s\\n\' "$s" "$(tr -d \'\\n\' < "$f")"; done; '
            "find /etc/systemd/system/multi-user.target.wants "
            f"-name {name}'@*.service' -printf 'enabled\\t%f\\n' 2>/dev/null; "
            f"systemctl list-units --plain --no-legend --full --state=active,activating,reloading {name}'@*.service' "
            "2>/dev/null | sed 's/ .*//; s/^/runs\\t/'; true"
        )

    @staticmethod
    @override
    def default() -> SlotsState:
        return SlotsState()

    @override
    def process(self, output: list[str]) -> SlotsState:
        return parse_slots(output)


def parse_slots(lines: list[str]) -> SlotsState:
    """Reads `serves SLOT`, `current VERSION`, `slot NAME JSON`, `enabled UNIT` and `runs UNIT`, separated by tabs.

    A slot's file that does not parse counts as absent: the slot is then filled anew.
    """
    state = SlotsState()
    enabled: set[int] = set()
    active: set[int] = set()
    for line in lines:
        match line.split("\t", 2):
            case ["serves", slot] if slot in ("blue", "green"):
                state.active = slot
            case ["runs", unit]:
                active |= _ports(unit)
            case ["enabled", unit]:
                enabled |= _ports(unit)
            case ["current", version]:
                state.current = version
            case ["slot", name, text]:
                state.slots |= _slot(name, text)
    state.instances = {port: Instance(port in active, port in enabled) for port in sorted(active | enabled)}
    return state


def _ports(unit: str) -> set[int]:
    port = unit.rpartition("@")[2].removesuffix(".service")
    return {int(port)} if port.isdigit() else set()


def _slot(name: str, text: str) -> dict[str, dict[str, Any]]:
    try:
        held = json.loads(text)
    except ValueError:
        return {}
    return {name: held} if isinstance(held, dict) else {}


class Account(NamedTuple):
    """An account's home and shell."""

    home: str
    shell: str


class ServiceUser(FactBase[Account | None]):
    """The account `user`; None where there is none."""

    @override
    def command(self, user: str) -> str:  # type: ignore[override]
        return f"getent passwd {shlex.quote(user)} || true"

    @staticmethod
    @override
    def default() -> Account | None:  # type: ignore[override]
        return None

    @override
    def process(self, output: list[str]) -> Account | None:
        fields = output[0].split(":") if output else []
        return Account(*fields[5:]) if len(fields) == 7 else None
