"""From hosts that are wanted to hosts that answer: made and booted in parallel, left alone where they run."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from mainstay.errors import LabError
from mainstay.lab import network, store
from mainstay.lab.identity import Identity, host_key, imprint
from mainstay.lab.machine import Machine
from mainstay.lab.outside import connects, run, write_atomically
from mainstay.lab.overlay import HostOverlay, Overlay, unproven
from mainstay.lab.paths import LabPaths
from mainstay.lab.proxy import PROXY_PORT
from mainstay.lab.sshfiles import known_hosts, ssh_config
from mainstay.lab.state import LabHost, LabState

BOOT_TIMEOUT_S = 90
SSH_PORT = 22
_POLL_S = 0.05


def machine_of(host: LabHost, lab: LabState, paths: LabPaths) -> Machine:
    """The host as a machine to start and stop."""
    link, address = lab.network.link(host.number), lab.network.address(host.number)
    return Machine(link, paths.host(host.identity), (Path(host.image),), host.name, address)


def make(host: LabHost, lab: LabState, paths: LabPaths) -> None:
    """A new disk for the host, unless it has one that was made to the end."""
    machine = machine_of(host, lab, paths)
    address, router = lab.network.address(host.number), lab.network.gateway
    identity = Identity(host.name, host.domain, address, router)
    make_disk(machine, lambda: imprint(machine.root, identity, lab.network, paths))


def make_disk(machine: Machine, imprint_disk: Callable[[], None]) -> bool:
    """A new disk with an identity; True when it was made, False when the machine has a whole one already."""
    finished = machine.folder / "made"
    if finished.exists() and machine.has_disk():
        return False
    machine.stop()
    machine.make_disk()
    imprint_disk()
    finished.touch()
    return True


def power_on(machine: Machine, lab: LabState) -> None:
    """Starts the machine with its cable plugged in; one that runs is left alone."""
    if not machine.is_running():
        network.plug(lab.network, machine.link, machine.address)
        machine.start()


def wait(machine: Machine) -> None:
    """Returns when the host has booted and its SSH server answers.

    Raises:
        LabError: it did not within 90 s; the message ends with what its console said.
    """
    deadline = time.monotonic() + BOOT_TIMEOUT_S
    while not (_banner(str(machine.address)) and _has_booted(machine)):
        if time.monotonic() > deadline or not machine.is_running():
            why = "is off again" if not machine.is_running() else f"does not answer {BOOT_TIMEOUT_S} s after its start"
            raise LabError(f"{machine.hostname}: {why}; its console ends with: {machine.last_words()}")
        time.sleep(_POLL_S)


def wait_for_packages(gateway: Machine) -> None:
    """Returns when the gateway's proxy takes requests.

    Raises:
        LabError: it does not within 90 s.
    """
    deadline = time.monotonic() + BOOT_TIMEOUT_S
    while not connects(str(gateway.address), PROXY_PORT):
        if time.monotonic() > deadline:
            raise LabError(f"The gateway gives no packages; its console ends with: {gateway.last_words()}")
        time.sleep(_POLL_S)


def in_parallel(work: Callable[[LabHost], None], hosts: Iterable[LabHost]) -> None:
    """Does `work` for all hosts, a few at a time; the first error ends it."""
    with ThreadPoolExecutor(max_workers=2 * (os.cpu_count() or 1)) as pool:
        try:
            for done in [pool.submit(work, host) for host in hosts]:
                done.result()
        except BaseException:  # Ctrl-C too: what has not begun does not begin
            pool.shutdown(cancel_futures=True)
            raise


def write_access(lab: LabState, paths: LabPaths) -> None:
    """Writes what is needed to reach the hosts: ssh_config, known_hosts, an overlay for each system."""
    made = [host for host in lab.hosts if (paths.host(host.identity) / "made").exists()]
    keys = {address_of(host, lab): host_key(paths.host(host.identity) / "root") for host in made}
    write_atomically(paths.known_hosts, known_hosts(keys))
    write_atomically(paths.ssh_config, ssh_config(paths, {a: " ".join(n) for a, n in names_of(lab).items()}))
    for stale in set(paths.root.glob("overlay-*.json")) - {paths.overlay(system) for system in lab.systems}:
        stale.unlink()
    for system in lab.systems:
        hosts = lab.hosts_of(system)
        places = {host.key: HostOverlay(address_of(host, lab), SSH_PORT, host.debian) for host in hosts}
        roles = {role for host in hosts for role in host.roles}
        where = (paths.key, paths.known_hosts)
        without = lab.without.get(system, [])
        overlay = Overlay(lab.name, *where, places, unproven(roles), store.endpoint(lab, system), without)
        overlay.write(paths.overlay(system))


def names_of(lab: LabState) -> dict[str, list[str]]:
    """The names under which operators find each address: the short one only where no other host has it."""
    short = [host.name for host in lab.hosts]
    found = {}
    for host in lab.hosts:
        names = [f"{host.name}.{host.domain}", host.key, f"{host.system}/{host.key}"]
        found[address_of(host, lab)] = [host.name, *names] if short.count(host.name) == 1 else names
    return found


def names_inside(lab: LabState) -> dict[str, list[str]]:
    """The names that the gateway's DNS gives each address; a host finds its own environment's short names first."""
    names = names_of(lab)
    return {address: [name for name in known if "/" not in name] for address, known in names.items()}


def address_of(host: LabHost, lab: LabState) -> str:
    """The host's address, as text."""
    return str(lab.network.address(host.number))


def _banner(address: str) -> bool:
    """Whether an SSH server answers; far cheaper to ask than a login."""
    try:
        with socket.create_connection((address, SSH_PORT), timeout=1) as connection:
            return connection.recv(4) == b"SSH-"
    except OSError:
        return False


def _has_booted(machine: Machine) -> bool:
    """Waits for the end of the boot; until then users are turned away ("System is booting up").

    It is asked at the host's keyboard and not over SSH: who may log in there is decided by what Mainstay deploys.
    """
    try:
        state = run(machine.inside("systemctl", "is-system-running", "--wait"), check=False).strip()
    except LabError:
        return False
    return state in ("running", "degraded")
