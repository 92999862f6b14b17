"""Where the lab keeps its things; everything is below one directory."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

HOME = Path("/var/lib/mainstay-lab")
CACHE = HOME / "cache"
LOCKS = HOME / "locks"
PACKAGES = CACHE / "packages"
IMAGES = CACHE / "images"
UPLINKS = HOME / "uplinks.json"
INOTIFY = HOME / "inotify.before"


@dataclass(frozen=True)
class LabPaths:
    """The files of one lab."""

    name: str

    @property
    def root(self) -> Path:
        """The lab's own directory; `down` removes it."""
        return HOME / self.name

    @property
    def state(self) -> Path:
        """Which hosts the lab has."""
        return self.root / "lab.json"

    @property
    def key(self) -> Path:
        """The private key that opens every host; the public one is beside it."""
        return self.root / "id_ed25519"

    @property
    def known_hosts(self) -> Path:
        """The hosts' own keys, which the lab made."""
        return self.root / "known_hosts"

    @property
    def ssh_config(self) -> Path:
        """`ssh -F` with this file reaches every host by name."""
        return self.root / "ssh_config"

    @property
    def sockets(self) -> Path:
        """Where connections to the hosts are kept open between commands."""
        return self.root / "ssh"

    @property
    def gateway(self) -> Path:
        """The gateway's directory, as `host` is for a host."""
        return self.root / "gateway"

    def overlay(self, system: str) -> Path:
        """Where the hosts of `system` are, for the model."""
        return self.root / f"overlay-{system}.json"

    def host(self, identity: str) -> Path:
        """The directory of one host: its disk, its console, its host key."""
        return self.root / "hosts" / identity
