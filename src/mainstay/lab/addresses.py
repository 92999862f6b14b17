"""Who gets which address and which names on the machine outside; pure.

Labs live in 198.18.0.0/16, half of the range that RFC 2544 reserves for test benches: it never meets a real network.
Each lab has a /20 of it, so that sixteen labs can stand side by side.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network

from mainstay.errors import LabError

RANGE = IPv4Network("198.18.0.0/16")
NETWORKS = tuple(RANGE.subnets(new_prefix=20))
DEFAULT_LAB = "lab"

_OUTSIDE, _GATEWAY, _FIRST_HOST = 1, 2, 11
# A directory of the lab's home, and so no lab may be called like these.
_RESERVED = {"cache", "locks"}
_NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,30}[a-z0-9])?")


@dataclass(frozen=True)
class Network:
    """The network of one lab: `index` picks its /20 and is part of every name that the lab has on the machine."""

    index: int

    @property
    def subnet(self) -> IPv4Network:
        """The lab's /20."""
        return NETWORKS[self.index]

    @property
    def bridge(self) -> str:
        """The bridge's interface name; the kernel allows 15 characters."""
        return f"mslab{self.index}"

    @property
    def outside(self) -> IPv4Address:
        """The machine's own address on the bridge, from where operators come."""
        return self.subnet[_OUTSIDE]

    @property
    def gateway(self) -> IPv4Address:
        """The gateway's address: DNS and packages."""
        return self.subnet[_GATEWAY]

    @property
    def gateway_link(self) -> str:
        """The gateway's link, as `link` is for a host."""
        return f"{self.bridge}-gw"

    def address(self, number: int) -> IPv4Address:
        """The address of the host with this number."""
        return self.subnet[number]

    def link(self, number: int) -> str:
        """One name for all that a host has outside: veth, network namespace, nspawn machine, control group."""
        return f"{self.bridge}-{number}"

    def free_number(self, taken: Collection[int]) -> int:
        """The lowest number that no host has.

        Raises:
            LabError: the network is full.
        """
        last = self.subnet.num_addresses - 2
        for number in range(_FIRST_HOST, last + 1):
            if number not in taken:
                return number
        raise LabError(f"The lab's network {self.subnet} is full: it holds {last - _FIRST_HOST + 1} hosts.")


def mac(address: IPv4Address) -> str:
    """A fixed hardware address, so that a host that is made again is not lost behind stale ARP entries."""
    return ":".join(f"{octet:02x}" for octet in (0x02, 0x4D, *address.packed))


def checked_name(name: str) -> str:
    """`name`, when it can be a lab's.

    Raises:
        LabError: it cannot be a directory's name and a part of host names.
    """
    if not _NAME.fullmatch(name) or name in _RESERVED:
        raise LabError(
            f"MAINSTAY_LAB: found {name!r}, expected 1 to 32 of a-z, 0-9 and '-', and none of "
            f"{', '.join(sorted(_RESERVED))}."
        )
    return name


def free_index(name: str, taken: Collection[int], networks: Collection[IPv4Network]) -> int:
    """The network of a new lab: the first for the default lab, the next free one for others.

    Args:
        name: the new lab's name.
        taken: the indexes of labs that exist.
        networks: what this machine already routes, other test benches among it.

    Raises:
        LabError: all sixteen are taken.
    """
    order = list(range(len(NETWORKS)))
    if name != DEFAULT_LAB:
        order = [*order[1:], 0]
    for index in order:
        if index not in taken and not any(NETWORKS[index].overlaps(network) for network in networks):
            return index
    raise LabError(f"Every network of {RANGE} is in use; take a lab down first: mainstay lab down --all.")
