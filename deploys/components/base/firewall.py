"""What the firewall lets in, worked out from who listens on the host: base knows no other component."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass

from deploys.components.base.model import section
from mainstay.inventory import Environment, Host, Listener

# Where the lab's laptop and hosts are: the range reserved for test benches (RFC 2544).
LAB_NETWORK = "198.18.0.0/15"


@dataclass(frozen=True)
class Opening:
    """One TCP port that is open to `sources` (addresses or networks); to everybody where that is empty."""

    port: int
    sources: tuple[str, ...]
    what: str

    @property
    def rules(self) -> list[str]:
        """The nftables rules, one an address family that has sources."""
        accept = f'tcp dport {self.port} accept comment "{self.what}"'
        if not self.sources:
            return [accept]
        families = {"ip": 4, "ip6": 6}
        return [
            f"{family} saddr {{ {', '.join(own)} }} {accept}"
            for family, version in families.items()
            if (own := [source for source in self.sources if ipaddress.ip_network(source).version == version])
        ]


def openings(env: Environment, host: Host) -> list[Opening]:
    """The host's open ports by number, sshd first: it must never depend on what follows."""
    sshd = section(env).sshd
    sources = [*sshd.allow_from, LAB_NETWORK] if sshd.allow_from and env.lab else sshd.allow_from
    found = [Opening(host.ssh_port, tuple(sources), "sshd")]
    others = [listener for listener in env.listeners(host) if listener.port != host.ssh_port]
    for listener in sorted(others, key=lambda one: one.port):
        opening = _opening(env, host, listener)
        if opening:
            found.append(opening)
    return found


def _opening(env: Environment, host: Host, listener: Listener) -> Opening | None:
    """None for what stays closed: loopback, and private ports that no host of the environment may reach."""
    if listener.scope == "public":
        return Opening(listener.port, (), listener.what)
    if listener.scope == "loopback":
        return None
    clients = {peer.address for role in listener.from_roles for peer in env.hosts_of(role)} - {host.address}
    return Opening(listener.port, tuple(sorted(clients, key=_numerically)), listener.what) if clients else None


def _numerically(address: str) -> tuple[int, int]:
    parsed = ipaddress.ip_address(address)
    return parsed.version, int(parsed)
