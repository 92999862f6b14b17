"""Which hosts a system has: their names, roles and Debian, read without checking the rest of the inventory."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import yaml

from mainstay import project
from mainstay.errors import LabError

_ENVIRONMENTS = ("staging", "production")


@dataclass(frozen=True)
class Wanted:
    """A host that an inventory declares."""

    env: str
    name: str
    roles: tuple[str, ...]
    debian: int


def hosts_of(system: str, env: str | None) -> list[Wanted]:
    """The hosts of a system's environments, or of one of them.

    The lab boots them even where the rest of the inventory has faults; `mainstay check` tells those.

    Raises:
        LabError: there is no such inventory, or its `hosts` is not a map of hosts.
    """
    folder = project.root() / "inventories" / system
    wanted = []
    for name in [env] if env else _ENVIRONMENTS:
        path = folder / f"{name}.yaml"
        try:
            content = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
            wanted += [_wanted(name, host, fields or {}) for host, fields in content["hosts"].items()]
        except FileNotFoundError:
            raise LabError(f"{path}: found no such file, expected the inventory of {system}/{name}.") from None
        except yaml.YAMLError as error:
            raise LabError(f"{path}: found {str(error).splitlines()[0]}, expected YAML.") from error
        except (KeyError, AttributeError, TypeError, ValueError):
            raise LabError(f"{path}: hosts: expected a map of hosts with their roles.") from None
    return wanted


def choose(wanted: list[Wanted], names: Sequence[str] | None, system: str) -> list[Wanted]:
    """Those of the hosts that are called `names` (a name, or `env/name`); all when no names are given.

    Raises:
        LabError: a name is no host's.
    """
    if not names:
        return wanted
    known = {name for host in wanted for name in (host.name, f"{host.env}/{host.name}")}
    for name in names:
        if name not in known:
            raise LabError(f"--hosts: found {name}, expected hosts of {system}: {', '.join(h.name for h in wanted)}.")
    return [host for host in wanted if host.name in names or f"{host.env}/{host.name}" in names]


def leave_out(wanted: Sequence[Wanted], roles: Sequence[str], system: str) -> list[Wanted]:
    """The hosts without those that have none but these roles.

    Raises:
        LabError: a role is no host's, or stands for no component that could be left out.
    """
    known = sorted({role for host in wanted for role in host.roles} & set(project.stems()))
    for role in roles:
        if role not in known:
            raise LabError(
                f"--without: found {role}, expected roles of {system} with a component of that name: "
                f"{', '.join(known) or 'it has none'}."
            )
    return [host for host in wanted if not set(host.roles) <= set(roles)]


def _wanted(env: str, name: str, fields: dict[str, Any]) -> Wanted:
    return Wanted(env, str(name), tuple(fields.get("roles", ())), int(fields.get("debian", 12)))
