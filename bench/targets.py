"""More targets than the lab has hosts: each of the twenty answers on ten ports, which the inventory takes for others.

A host of the bench takes a few hundred megabytes, so two hundred of them do not fit one machine. sshd, systemd, the
databases behind them are the twenty's own; connections, sessions and questions are as many as with real hosts. The plan
is the same but for three operations (sshd's port, the firewall that opens it, and nginx's list of upstreams).
"""

from __future__ import annotations

from bench.ground import HOSTS, LAB, SYSTEM, Ground, prepare
from mainstay.lab import HostOverlay, Lab, Overlay, read_overlay

_FIRST_PORT = 2200
_TABLE = """
table ip mainstay-bench
delete table ip mainstay-bench
table ip mainstay-bench {{
  chain prerouting {{
    type nat hook prerouting priority dstnat;
    tcp dport {first}-{last} redirect to :22
  }}
}}
"""
MOST = 200


def place(number: int) -> tuple[int, int]:
    """Which host (from 0) stands for a target (from 0), and on which port; pure."""
    return number % HOSTS, 22 if number < HOSTS else _FIRST_PORT + number // HOSTS


def many() -> Ground:
    """The ground of two hundred targets; the twenty hosts must be up."""
    found = prepare("many", MOST, LAB)
    lab = Lab(LAB)
    script = _TABLE.format(first=_FIRST_PORT, last=_FIRST_PORT + MOST // HOSTS)
    known = read_overlay(LAB, SYSTEM)
    for name in found.names[:HOSTS]:
        lab.outside_exec("ip", "netns", "exec", lab.namespace(name), "nft", script)
    hosts = {}
    for number, name in enumerate(found.names):
        which, port = place(number)
        real = known.hosts[f"staging/{found.names[which]}"]
        hosts[f"staging/{name}"] = HostOverlay(real.address, port, real.debian)
    Overlay(known.name, known.key_path, known.known_hosts, hosts, known.unproven).write(lab.paths.overlay(SYSTEM))
    _trust(lab, hosts)
    return found


def _trust(lab: Lab, hosts: dict[str, HostOverlay]) -> None:
    """The hosts' own keys, by every port that they answer on."""
    lines = lab.paths.known_hosts.read_text().splitlines()
    keys = {line.split(" ", 1)[0]: line.split(" ", 1)[1] for line in lines if not line.startswith("[")}
    others = [f"[{host.address}]:{host.port} {keys[host.address]}" for host in hosts.values() if host.port != 22]
    plain = [f"{address} {key}" for address, key in keys.items()]
    lab.paths.known_hosts.write_text("\n".join([*plain, *others]) + "\n")
