"""What makes a host itself: name, machine id, address and SSH host key, on its disk before it first boots."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from ipaddress import IPv4Address
from pathlib import Path

from mainstay.lab.addresses import Network
from mainstay.lab.outside import run
from mainstay.lab.paths import LabPaths
from mainstay.lab.proxy import PROXY_PORT

IMAGE_USER = "debian"


@dataclass(frozen=True)
class Identity:
    """The names of a host, its address, and whom it sends to what is not on its network.

    `domain` is where it looks up short names. For hosts the router is the gateway, which forwards nothing.
    """

    hostname: str
    domain: str
    address: IPv4Address
    router: IPv4Address


def make_key(path: Path, comment: str) -> None:
    """An ed25519 key pair without a passphrase; the private key is readable by its owner alone."""
    path.unlink(missing_ok=True)
    run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", comment, "-f", path])


def imprint(root: Path, identity: Identity, network: Network, paths: LabPaths) -> None:
    """Writes what a cloud would on a new host's disk: identity, address, the operator's key, apt's proxy."""
    etc = root / "etc"
    (etc / "hostname").write_text(f"{identity.hostname}\n")
    (etc / "hosts").write_text(_hosts(identity))
    (etc / "machine-id").write_text(f"{uuid.uuid4().hex}\n")
    (etc / "resolv.conf").write_text(f"nameserver {network.gateway}\nsearch {identity.domain}\n")
    (etc / "systemd/network/10-eth0.network").write_text(_network(identity, network))
    (etc / "apt/apt.conf.d/30proxy").write_text(f'Acquire::http::Proxy "http://{network.gateway}:{PROXY_PORT}";\n')
    make_key(etc / "ssh/ssh_host_ed25519_key", f"root@{identity.hostname}")
    keys = root / "home" / IMAGE_USER / ".ssh/authorized_keys"
    keys.write_bytes(Path(f"{paths.key}.pub").read_bytes())
    keys.chmod(0o600)
    owner = keys.parent.stat()
    run(["chown", f"{owner.st_uid}:{owner.st_gid}", keys])


def host_key(root: Path) -> str:
    """The host's public key, as known_hosts has it: type and base64."""
    words = (root / "etc/ssh/ssh_host_ed25519_key.pub").read_text(encoding="ascii").split()
    return " ".join(words[:2])


def _hosts(identity: Identity) -> str:
    name = identity.hostname
    return f"127.0.0.1 localhost\n127.0.1.1 {name}.{identity.domain} {name}\n::1 localhost ip6-localhost\n"


def _network(identity: Identity, network: Network) -> str:
    return (
        "[Match]\nName=eth0\n\n"
        f"[Network]\nAddress={identity.address}/{network.subnet.prefixlen}\nGateway={identity.router}\n"
        "LinkLocalAddressing=no\nIPv6AcceptRA=no\n"
    )
