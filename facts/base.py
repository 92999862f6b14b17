"""Accounts, time zone and clock of a host."""

from __future__ import annotations

import shlex
from dataclasses import dataclass, field

from pyinfra.api import FactBase
from typing_extensions import override


@dataclass(frozen=True)
class AccountState:
    """Which of the users asked for exist, whether the group does, and who is in it."""

    group_exists: bool = False
    members: frozenset[str] = field(default=frozenset())
    users: frozenset[str] = field(default=frozenset())


class Accounts(FactBase[AccountState]):
    """The group `group` and those of `users` that exist."""

    @override
    def command(self, group: str, users: list[str]) -> str:  # type: ignore[override]
        named = " ".join(shlex.quote(user) for user in users)
        return f"getent group {shlex.quote(group)} | sed 's/^/group:/'; getent passwd {named} | sed 's/^/user:/'; true"

    @staticmethod
    @override
    def default() -> AccountState:
        return AccountState()

    @override
    def process(self, output: list[str]) -> AccountState:
        return parse_accounts(output)


def parse_accounts(lines: list[str]) -> AccountState:
    """Reads `getent` lines, marked `group:` or `user:`."""
    group_exists, members, users = False, set(), set()
    for line in lines:
        kind, _, entry = line.partition(":")
        fields = entry.split(":")
        if kind == "group" and len(fields) == 4:
            group_exists = True
            members |= {name for name in fields[3].split(",") if name}
        elif kind == "user" and len(fields) == 7:
            users.add(fields[0])
    return AccountState(group_exists, frozenset(members), frozenset(users))


class TimeZone(FactBase[str]):
    """Name of the time zone that /etc/localtime points at, such as `Etc/UTC`; empty where it points nowhere known."""

    command = "readlink -f /etc/localtime || true"

    @staticmethod
    @override
    def default() -> str:
        return ""

    @override
    def process(self, output: list[str]) -> str:
        return output[0].partition("/zoneinfo/")[2] if output else ""


@dataclass(frozen=True)
class Tracking:
    """`chronyc tracking`: the leap status, seconds off the source, and the source's name or address.

    The offset is the larger of what chronyd still corrects ("System time") and what it measured last ("Last offset"):
    where it cannot set the clock, the first stays at zero however wrong the clock is.
    """

    leap_status: str
    offset_s: float
    reference: str

    @property
    def synchronised(self) -> bool:
        """A source was found and followed."""
        return self.leap_status == "Normal"


class ClockSync(FactBase[Tracking | None]):
    """What chronyd knows about the host's clock (EV-14); None where it does not run."""

    command = "chronyc -c tracking 2>/dev/null || true"

    @staticmethod
    @override
    def default() -> Tracking | None:
        return None

    @override
    def process(self, output: list[str]) -> Tracking | None:
        return parse_tracking(output)


def parse_tracking(lines: list[str]) -> Tracking | None:
    """Reads the one line of `chronyc -c tracking`: 14 fields, commas between them."""
    for line in lines:
        fields = line.split(",")
        if len(fields) != 14:
            continue
        try:
            offset = max(float(fields[4]), float(fields[5]), key=abs)
            return Tracking(leap_status=fields[13], offset_s=offset, reference=fields[1])
        except ValueError:
            continue
    return None
