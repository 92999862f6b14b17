"""What a command acts on: `SYSTEM/ENV`, narrowed by `--limit`, in the real world or in the lab."""

from __future__ import annotations

import fnmatch
from pathlib import Path

from mainstay import inventory, project
from mainstay.cli import output
from mainstay.errors import UsageError
from mainstay.inventory import Environment

TARGET_HELP = "SYSTEM/ENV, for example shop/staging."
LIMIT_HELP = "Only these hosts: names, roles or patterns (eai-app-*), separated by commas."

RESTART_HELP = "Restart servers for settings that need it now, not only in a window of the inventory."


def environment_of(target: str) -> Environment:
    """The environment that `SYSTEM/ENV` names, checked.

    Raises:
        UsageError: the target does not have that form.
        InventoryError: the inventory is wrong.
    """
    system, env = split(target)
    return inventory.load(system, env, lab=inventory.lab_from_environment())


def split(target: str) -> tuple[str, str]:
    """The system and the environment that `SYSTEM/ENV` names.

    Raises:
        UsageError: the target does not have that form.
    """
    system, slash, env = target.partition("/")
    if not slash or not system or env not in inventory.ENVIRONMENTS:
        systems = ", ".join(project.systems()) or "none yet"
        raise UsageError(f"target: found {target!r}, expected SYSTEM/staging or SYSTEM/production (systems: {systems})")
    return system, env


def environments_of(target: str) -> list[Environment]:
    """The environment that `SYSTEM/ENV` names, or both of `SYSTEM`.

    Raises:
        UsageError, InventoryError: as `environment_of`.
    """
    if "/" in target:
        return [environment_of(target)]
    return [environment_of(f"{target}/{env}") for env in inventory.ENVIRONMENTS]


def members(environment: Environment, limit: str | None) -> list[str]:
    """The names of the hosts that `--limit` leaves, in the inventory's order.

    Raises:
        UsageError: a part of the limit matches no host.
    """
    if not limit:
        return list(environment.hosts)
    chosen: set[str] = set()
    for part in filter(None, (piece.strip() for piece in limit.split(","))):
        found = {n for n, h in environment.hosts.items() if part in h.roles or fnmatch.fnmatchcase(n, part)}
        if not found:
            names = ", ".join(environment.hosts)
            raise UsageError(f"--limit: found {part!r}, expected a role or a host of {environment.name} ({names})")
        chosen |= found
    return [name for name in environment.hosts if name in chosen]


def announce(verb: str, environment: Environment, names: list[str]) -> None:
    """The first line of every command: which world it acts on."""
    world = f"in the lab {environment.lab.name!r}" if environment.lab else "in the real world"
    output.told(f"{verb} {environment.name} {world}: {len(names)} of {len(environment.hosts)} hosts", style="bold")


def site() -> Path:
    """The entry file, the operator's own before the bundled one."""
    project.install()
    return project.layers("deploys")[0] / "site.py" if _own_site() else project.bundled() / "deploys" / "site.py"


def _own_site() -> bool:
    folders = project.layers("deploys")
    return bool(folders) and (folders[0] / "site.py").is_file()
