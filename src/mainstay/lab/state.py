"""Which hosts a lab has; written before anything is made, so that whatever a crash leaves has a name."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path

from mainstay.errors import LabError
from mainstay.lab.addresses import Network
from mainstay.lab.outside import write_atomically
from mainstay.lab.paths import HOME, LabPaths


@dataclass(frozen=True)
class LabHost:
    """One host of a lab.

    Attributes:
        number: its place in the lab's network, from which address and names outside follow.
        image: the directory of its base image.
    """

    system: str
    env: str
    name: str
    number: int
    roles: tuple[str, ...]
    debian: int
    image: str

    @property
    def key(self) -> str:
        """`env/host`, as the overlay names it."""
        return f"{self.env}/{self.name}"

    @property
    def identity(self) -> str:
        """The name of its directory; unique in the lab."""
        return f"{self.system}.{self.env}.{self.name}"

    @property
    def domain(self) -> str:
        """Where it looks up short names: hosts of its own environment come first."""
        return f"{self.env}.{self.system}.lab"


@dataclass
class LabState:
    """A lab: its network and its hosts.

    Attributes:
        without: the roles that it does without, by system.
    """

    name: str
    index: int
    hosts: list[LabHost] = field(default_factory=list)
    without: dict[str, list[str]] = field(default_factory=dict)

    @property
    def network(self) -> Network:
        """The lab's network."""
        return Network(self.index)

    @property
    def systems(self) -> list[str]:
        """The systems that have hosts here."""
        return sorted({host.system for host in self.hosts})

    def hosts_of(self, system: str | None) -> list[LabHost]:
        """The hosts of a system, or all."""
        return [host for host in self.hosts if system in (None, host.system)]

    def find(self, name: str) -> LabHost:
        """The host called `host`, `env/host` or `system/env/host`.

        Raises:
            LabError: there is none, or more than one.
        """
        wanted = name.split("/")
        found = [host for host in self.hosts if [host.system, host.env, host.name][-len(wanted) :] == wanted]
        if len(found) == 1:
            return found[0]
        if found:
            which = " or ".join(f"{host.system}/{host.key}" for host in found)
            raise LabError(f"The lab {self.name!r} has {len(found)} hosts called {name}: say {which}.")
        known = ", ".join(host.name for host in self.hosts) or "none"
        raise LabError(f"The lab {self.name!r} has no host {name}; it has: {known}.")

    def save(self, paths: LabPaths) -> None:
        """Writes the state, whole or not at all."""
        content = asdict(self)
        write_atomically(paths.state, json.dumps(content, indent=2) + "\n")


def load(paths: LabPaths) -> LabState | None:
    """The state of a lab; None when it is not up.

    Raises:
        LabError: the file is damaged.
    """
    try:
        content = json.loads(paths.state.read_text(encoding="utf-8"))
        hosts = [LabHost(**{**host, "roles": tuple(host["roles"])}) for host in content["hosts"]]
        return LabState(content["name"], content["index"], hosts, content.get("without", {}))
    except FileNotFoundError:
        return None
    except PermissionError:
        raise LabError(f"The lab {paths.name!r} belongs to root: run this command as root.") from None
    except (ValueError, KeyError, TypeError) as error:
        raise LabError(f"{paths.state}: found {error}, expected the state of a lab.") from error


def names() -> list[str]:
    """The labs of this machine."""
    return sorted(path.parent.name for path in Path(HOME).glob("*/lab.json"))


def all_states() -> list[LabState]:
    """The states of all labs of this machine."""
    return [state for name in names() if (state := load(LabPaths(name)))]
