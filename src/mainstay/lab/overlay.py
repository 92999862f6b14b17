"""What a lab tells the model: the addresses of a system's hosts, the key that opens them, what it cannot prove."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from mainstay.errors import LabError
from mainstay.lab.addresses import checked_name
from mainstay.lab.outside import write_atomically
from mainstay.lab.paths import LabPaths

# A role that stands for hardware or software which a host of the lab does not have.
UNPROVEN_ROLES = {"ml": "gpu", "scylla": "scylla"}


@dataclass(frozen=True)
class HostOverlay:
    """Where the lab put one host, and which Debian runs there."""

    address: str
    port: int
    debian: int


@dataclass(frozen=True)
class Overlay:
    """What holds in the lab instead of what the inventory says.

    Attributes:
        name: the lab.
        key_path: the private key that opens every host.
        known_hosts: the hosts' own keys, strictly checked.
        hosts: by `env/host`.
        unproven: what this lab cannot prove; every summary prints it.
        store: where its object store answers; empty where it has none.
        without: roles that it was told to do without, as unproven as those; who has no other has no host.
    """

    name: str
    key_path: Path
    known_hosts: Path
    hosts: dict[str, HostOverlay]
    unproven: list[str]
    store: str = ""
    without: list[str] = field(default_factory=list)

    def write(self, path: Path) -> None:
        """Writes the overlay, whole or not at all."""
        hosts = {key: asdict(host) for key, host in sorted(self.hosts.items())}
        content = {
            "name": self.name,
            "key_path": str(self.key_path),
            "known_hosts": str(self.known_hosts),
            "hosts": hosts,
            "unproven": self.unproven,
            "store": self.store,
            "without": self.without,
        }
        write_atomically(path, json.dumps(content, indent=2) + "\n")

    def unproven_on(self, roles: Mapping[str, Iterable[str]]) -> dict[str, list[str]]:
        """What is not proven here, and the hosts that it would be on; `roles` by the names of hosts."""
        found: dict[str, list[str]] = {}
        for host, own in roles.items():
            lacking = set(unproven(set(own))) & set(self.unproven) | set(own) & set(self.without)
            for word in sorted(lacking):
                found.setdefault(word, []).append(host)
        return found

    def leaves_out(self, roles: Iterable[str]) -> bool:
        """Whether a host with these roles has no other than those that the lab does without."""
        return set(roles) <= set(self.without)


def parse_overlay(text: str) -> Overlay:
    """An overlay from its JSON.

    Raises:
        ValueError: it is not one; the message says what is missing.
    """
    try:
        content: dict[str, Any] = json.loads(text)
        hosts = {
            key: HostOverlay(host["address"], int(host["port"]), int(host["debian"]))
            for key, host in content["hosts"].items()
        }
        paths = Path(content["key_path"]), Path(content["known_hosts"])
        return Overlay(
            content["name"],
            *paths,
            hosts,
            list(content["unproven"]),
            content.get("store", ""),
            content.get("without", []),
        )
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"not an overlay: {error!r}") from error


def read_overlay(lab: str, system: str) -> Overlay:
    """The overlay of `system` in `lab`.

    Raises:
        LabError: the lab is not up, or has no hosts of this system.
    """
    path = LabPaths(checked_name(lab)).overlay(system)
    try:
        return parse_overlay(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise LabError(f"The lab {lab!r} has no hosts of {system}; boot them: {_up(lab, system)}.") from None
    except PermissionError:
        raise LabError(f"The lab {lab!r} belongs to root: run this command as root.") from None
    except ValueError as error:
        raise LabError(f"{path}: found {error}; boot the lab again: {_up(lab, system)}.") from error


def unproven(roles: set[str]) -> list[str]:
    """What a lab with hosts of these roles cannot prove."""
    return sorted(UNPROVEN_ROLES[role] for role in roles & UNPROVEN_ROLES.keys())


def _up(lab: str, system: str) -> str:
    return f"mainstay lab up {system}" if lab == "lab" else f"MAINSTAY_LAB={lab} mainstay lab up {system}"
