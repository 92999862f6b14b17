"""The two slots of a service on a host (DP-12, DP-38): what each holds, which one takes requests, what runs."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from pyinfra.api import FactBase
from typing_extensions import override

from mainstay import families


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


_WANTS = "/etc/systemd/system/multi-user.target.wants"


def _slot_files(base: str, unit: str, nginx: str) -> str:
    """The part about one service's files; the words are quoted already."""
    return (
        f"sed -n 's/^# slot /serves\\t/p' {nginx} 2>/dev/null; "
        f"t=$(readlink {base}/current) && printf 'current\\t%s\\n' \"${{t##*/}}\"; "
        f'for s in blue green; do f={base}/slots/$s.json; [ -f "$f" ] && '
        "{ printf 'slot\\t%s\\t' \"$s\"; tr -d '\\n' < \"$f\"; echo; }; done; "
        f"for u in {_WANTS}/{unit}@*.service; do "
        '[ -h "$u" ] && printf \'enabled\\t%s\\n\' "${u##*/}"; done; '
    )


def _running(units: Sequence[str]) -> str:
    """The part about what runs, of any number of services."""
    names = " ".join(f"{unit}'@*.service'" for unit in units)
    return (
        f"systemctl list-units --plain --no-legend --full --state=active,activating,reloading {names} "
        "2>/dev/null | sed 's/ .*//; s/^/runs\\t/'; true"
    )


_ASKED = re.compile(
    r".*/p' (?P<nginx>\S+) 2>.*?readlink (?P<base>\S+)/current.*list-units .* (?P<unit>\S+)'@\*\.service'.*"
)
_MARK = "# service"


def _places(command: str) -> tuple[str, str, str] | None:
    """Base, unit and nginx's file of a question about one service, quoted as they were; None for any other."""
    match = _ASKED.fullmatch(command)
    places = (match["base"], match["unit"], match["nginx"]) if match else None
    return places if places and _slot_files(*places) + _running([places[1]]) == command else None


def _joined(commands: Sequence[str]) -> str:
    """One systemctl for all services; it is most of what the question costs."""
    places = [place for place in map(_places, commands) if place]
    files = "".join(f"echo {shlex.quote(_MARK)}; {_slot_files(*place)}" for place in places)
    return f"{files}echo {shlex.quote(_MARK)}; {_running([unit for _, unit, _ in places])}"


def _parted(commands: Sequence[str], out: bytes) -> list[bytes] | None:
    """A part for each service's files, and one of all units that run, which belong to a service by their names."""
    parts: list[list[bytes]] = []
    for line in out.splitlines(keepends=True):
        if line == f"{_MARK}\n".encode():
            parts.append([])
        elif parts:
            parts[-1].append(line)
    if len(parts) != len(commands) + 1:
        return None
    runs = parts.pop()
    for place, lines in zip(map(_places, commands), parts, strict=True):
        name = f"runs\t{families.unquoted(place[1]) if place else ''}@".encode()
        lines += [row for row in runs if row.startswith(name)]
    return [b"".join(lines) for lines in parts]


families.register("slots", families.Family(lambda command: _places(command) and "", _joined, _parted))


class Slots(FactBase[SlotsState]):
    """The slots below `base`; `nginx` is the file that names the active one, `unit` the template's name before `@`."""

    @override
    def command(self, base: str, unit: str, nginx: str) -> str:  # type: ignore[override]
        return f"{_slot_files(*map(shlex.quote, (base, unit, nginx)))}{_running([shlex.quote(unit)])}"

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
            case ["enabled", unit]:
                enabled |= _ports(unit)
            case ["current", version]:
                state.current = version
            case ["slot", name, text]:
                state.slots |= _slot(name, text)
            case ["runs", unit]:
                active |= _ports(unit)
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


_USERS = families.Words("getent passwd ", " || true")


class Account(NamedTuple):
    """An account's home and shell."""

    home: str
    shell: str


class ServiceUser(FactBase[Account | None]):
    """The account `user`; None where there is none."""

    @override
    def command(self, user: str) -> str:  # type: ignore[override]
        return _USERS.command(shlex.quote(user))

    @staticmethod
    @override
    def default() -> Account | None:  # type: ignore[override]
        return None

    @override
    def process(self, output: list[str]) -> Account | None:
        fields = output[0].split(":") if output else []
        return Account(*fields[5:]) if len(fields) == 7 else None


def _parted_users(commands: Sequence[str], out: bytes) -> list[bytes]:
    """getent's rows begin with the name that was asked for."""
    rows = {line.partition(b":")[0].decode("utf-8", "surrogateescape"): line for line in out.splitlines(keepends=True)}
    return [b"".join(rows.get(user, b"") for user in _USERS.named(command)) for command in commands]


families.register(
    "accounts",
    families.Family(
        # By a number getent finds an account too, under its name.
        lambda command: (
            "" if _USERS.named(command) and not any(user.isdigit() for user in _USERS.named(command)) else None
        ),
        lambda commands: _USERS.command(
            " ".join(shlex.quote(user) for each in commands for user in _USERS.named(each))
        ),
        _parted_users,
    ),
)
