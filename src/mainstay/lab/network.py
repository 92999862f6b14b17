"""The lab's network on the machine outside: one bridge, one nftables table, forwarding for the gateway alone."""

from __future__ import annotations

import json
import re
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path

from mainstay.lab.addresses import Network, mac
from mainstay.lab.outside import run, write_atomically
from mainstay.lab.paths import UPLINKS

_OURS = re.compile(r"mslab\d+")
# Only the gateway gets out, and nothing of the lab opens a connection to the machine itself. The segment size follows
# the uplink's MTU: a path that swallows ICMP would otherwise stall every download.
_RULES = """
table ip {bridge}
delete table ip {bridge}
table ip {bridge} {{
  chain postrouting {{
    type nat hook postrouting priority srcnat;
    ip saddr {gateway} oifname != "{bridge}" masquerade
  }}
  chain forward {{
    type filter hook forward priority filter;
    iifname "{bridge}" oifname "{bridge}" accept
    iifname "{bridge}" ip saddr {gateway} ip daddr != {range} tcp flags syn tcp option maxseg size set rt mtu
    iifname "{bridge}" ip saddr {gateway} ip daddr != {range} accept
    iifname "{bridge}" drop
    oifname "{bridge}" ct state established,related accept
    oifname "{bridge}" drop
  }}
  chain input {{
    type filter hook input priority filter;
    iifname "{bridge}" ct state new drop
  }}
}}
"""


def rules(network: Network) -> str:
    """The nftables script of a lab: its table, replaced as a whole."""
    return _RULES.format(bridge=network.bridge, gateway=network.gateway, range="198.18.0.0/16")


def lay(network: Network) -> None:
    """Makes the bridge and the rules, or makes them again as they should be."""
    if not _exists(network.bridge):
        run(["ip", "link", "add", network.bridge, "address", mac(network.outside), "type", "bridge"])
    prefix = network.subnet.prefixlen
    run(["ip", "addr", "replace", f"{network.outside}/{prefix}", "brd", "+", "dev", network.bridge])
    # Without IPv6 on it the bridge needs no link-local address, and none that would wait for duplicate detection.
    _sysctl(f"ipv6/conf/{network.bridge}/disable_ipv6", "1")
    run(["ip", "link", "set", network.bridge, "up"])
    run(["nft", "-f", "-"], stdin=rules(network))
    _sysctl(f"ipv4/conf/{network.bridge}/forwarding", "1")


def lift(network: Network) -> None:
    """Removes what `lay` made."""
    run(["nft", "-f", "-"], stdin=f"table ip {network.bridge}\ndelete table ip {network.bridge}\n")
    if _exists(network.bridge):
        run(["ip", "link", "del", network.bridge])


def open_uplink() -> None:
    """Lets the machine forward what comes in by its default route, and remembers how that was before.

    Forwarding is set for this one interface, not with `ip_forward`: the machine does not become a router for its
    other networks. The caller holds the machine's lock.
    """
    uplink = _uplink()
    if uplink is None:
        return
    before = _remembered()
    path = f"ipv4/conf/{uplink}/forwarding"
    if uplink not in before:
        before[uplink] = _read(path)
        write_atomically(UPLINKS, json.dumps(before))
    _sysctl(path, "1")


def close_uplinks() -> None:
    """Puts forwarding back as it was before the first lab; the caller holds the machine's lock."""
    for uplink, value in _remembered().items():
        _sysctl(f"ipv4/conf/{uplink}/forwarding", value)
    UPLINKS.unlink(missing_ok=True)


def plug(network: Network, link: str, address: IPv4Address) -> None:
    """Makes a host's network namespace, with `eth0` in it on one end of a veth whose other end is on the bridge.

    The namespace outlives the host, as a switch port does: a host that reboots finds its cable where it was.
    """
    unplug(link)
    run(["ip", "netns", "add", link])
    peer = ["peer", "name", "eth0", "netns", link, "address", mac(address)]
    run(["ip", "link", "add", link, "type", "veth", *peer])
    run(["ip", "-n", link, "link", "set", "lo", "up"])
    _sysctl(f"ipv6/conf/{link}/disable_ipv6", "1")
    run(["ip", "link", "set", link, "master", network.bridge, "up"])


def unplug(link: str) -> None:
    """Removes what `plug` made, or what is left of it."""
    if Path("/run/netns", link).exists():
        run(["ip", "netns", "del", link])
    # The kernel takes a veth away some time after its namespace.
    if _exists(link):
        run(["ip", "link", "del", link], check=False)


def cut(link: str) -> None:
    """Pulls the cable: nothing comes through, and neither side is told."""
    run(["ip", "link", "set", link, "nomaster"])


def heal(network: Network, link: str) -> None:
    """Puts the cable back."""
    run(["ip", "link", "set", link, "master", network.bridge, "up"])


def is_cut(link: str) -> bool:
    """Whether the cable is pulled."""
    return _exists(link) and not Path("/sys/class/net", link, "master").exists()


def links_of(network: Network) -> list[str]:
    """The links of this lab that exist, those without a host among them."""
    names = {path.name for folder in ("/sys/class/net", "/run/netns") for path in _entries(Path(folder))}
    return sorted(name for name in names if name.startswith(f"{network.bridge}-"))


def foreign_networks() -> list[IPv4Network]:
    """The networks that this machine is directly on, those of labs apart."""
    found = json.loads(run(["ip", "-json", "-4", "addr"]))
    addresses = [entry for link in found if not _OURS.fullmatch(link["ifname"]) for entry in link["addr_info"]]
    return [IPv4Network(f"{entry['local']}/{entry['prefixlen']}", strict=False) for entry in addresses]


def _uplink() -> str | None:
    routes = json.loads(run(["ip", "-json", "-4", "route", "show", "default"]) or "[]")
    return routes[0]["dev"] if routes else None


def _remembered() -> dict[str, str]:
    found: dict[str, str] = json.loads(UPLINKS.read_text(encoding="ascii")) if UPLINKS.exists() else {}
    return {uplink: value for uplink, value in found.items() if _exists(uplink)}


def _exists(link: str) -> bool:
    return Path("/sys/class/net", link).exists()


def _entries(folder: Path) -> list[Path]:
    return list(folder.iterdir()) if folder.is_dir() else []


def _read(path: str) -> str:
    return Path("/proc/sys/net", path).read_text(encoding="ascii").strip()


def _sysctl(path: str, value: str) -> None:
    file = Path("/proc/sys/net", path)
    if file.exists():  # a kernel without IPv6 has nothing to switch off
        file.write_text(value, encoding="ascii")
