"""As whom a host lets the lab's key in: the image's user at first, an operator after Mainstay's first contact."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator

from mainstay.errors import LabError
from mainstay.lab.identity import IMAGE_USER
from mainstay.lab.machine import Machine
from mainstay.lab.paths import LabPaths

_PEOPLE = range(1000, 60000)


def user_of(machine: Machine, paths: LabPaths) -> str:
    """The first of the host's people who gets in; the image's user where nobody does, so that SSH says why.

    Raises:
        LabError: the host was not made to the end.
    """
    for user in candidates(_passwd(machine), os.environ.get("MAINSTAY_OPERATOR")):
        argv = ["ssh", "-F", str(paths.ssh_config), "-l", user, str(machine.address), "true"]
        if subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, check=False).returncode == 0:
            return user
    return IMAGE_USER


def candidates(passwd: str, named: str | None) -> Iterator[str]:
    """Who may be let in, the likeliest first.

    Args:
        passwd: the host's /etc/passwd.
        named: the operator that this laptop works as, when it says so.
    """
    rows = [line.split(":") for line in passwd.splitlines() if line.count(":") == 6]
    people = [row[0] for row in rows if int(row[2]) in _PEOPLE and not row[6].endswith(("nologin", "false"))]
    # Mainstay's operators are made after the image's user, whom they replace.
    operators = [user for user in people if user != IMAGE_USER]
    return iter(dict.fromkeys(user for user in (named, *operators, IMAGE_USER) if user in people))


def _passwd(machine: Machine) -> str:
    try:
        return (machine.root / "etc/passwd").read_text(encoding="utf-8")
    except FileNotFoundError:
        raise LabError(f"{machine.hostname}: found no disk, expected one: run lab up again.") from None
