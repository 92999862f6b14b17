"""Every error that Mainstay shows: one sentence a class, caught once at the edge (`mainstay.cli`).

Exit codes are the same everywhere: 1 something failed on a host or a check did, 2 wrong usage or inventory,
3 refused by a gate, the lease or a window, 130 interrupted.
"""

from __future__ import annotations

from dataclasses import dataclass


class MainstayError(Exception):
    """Something failed; the message is the one sentence the operator reads."""

    exit_code = 1


class UsageError(MainstayError):
    """The command was called in a way that cannot work, or this machine cannot do it."""

    exit_code = 2


class LabError(UsageError):
    """The lab cannot run here, or was asked for a host that it does not have."""


@dataclass(frozen=True)
class Problem:
    """One fault in an inventory: where it stands, what was found, what was expected."""

    file: str
    key: str
    found: str
    expected: str

    def __str__(self) -> str:
        where = f"{self.file}: {self.key}" if self.key else self.file
        return f"{where}: found {self.found}, expected {self.expected}"


class InventoryError(MainstayError):
    """The description of the system is wrong; all problems at once, before the first connection."""

    exit_code = 2

    def __init__(self, problems: list[Problem]) -> None:
        self.problems = problems
        super().__init__("\n".join(str(problem) for problem in problems))


class SecretError(MainstayError):
    """A secret is missing or cannot be opened; the value itself is never part of the message."""

    exit_code = 2


class HostError(MainstayError):
    """One host failed; the others go on."""

    def __init__(self, host: str, message: str) -> None:
        self.host = host
        super().__init__(f"{host}: {message}")


class GateError(MainstayError):
    """A gate refused: the change is not proven on staging, a release is on hold, a window is closed."""

    exit_code = 3


class LeaseError(MainstayError):
    """Somebody else writes to this environment, or the lease was lost."""

    exit_code = 3


class Interrupted(MainstayError):
    """The operator stopped the command; the message says where, and how to go on."""

    exit_code = 130
