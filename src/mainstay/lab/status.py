"""What a lab's hosts are doing right now."""

from __future__ import annotations

from dataclasses import dataclass

from mainstay.lab import hosts, network
from mainstay.lab.lab import Lab


@dataclass(frozen=True)
class HostStatus:
    """One host: where it is, whether it has power, whether its cable is plugged in."""

    system: str
    env: str
    name: str
    address: str
    debian: int
    roles: list[str]
    power: bool
    plugged: bool


def read(lab: Lab) -> list[HostStatus]:
    """The hosts of a lab, in the order of their addresses.

    Raises:
        LabError: the lab is not up.
    """
    state = lab.state()
    found = []
    for host in sorted(state.hosts, key=lambda host: host.number):
        machine = hosts.machine_of(host, state, lab.paths)
        place = (host.system, host.env, host.name, str(machine.address), host.debian, list(host.roles))
        found.append(HostStatus(*place, machine.is_running(), not network.is_cut(machine.link)))
    return found
