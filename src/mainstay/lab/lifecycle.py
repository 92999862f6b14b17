"""How a lab comes and goes; every step may be the second try after a crash, so each first clears what is left."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from mainstay.lab import cgroups, gateway, hosts, image, limits, network, state
from mainstay.lab.addresses import free_index
from mainstay.lab.identity import make_key
from mainstay.lab.inventories import Wanted
from mainstay.lab.machine import Machine
from mainstay.lab.mirror import Mirror
from mainstay.lab.outside import Say, locked, remove_tree, run
from mainstay.lab.paths import HOME, LOCKS, LabPaths
from mainstay.lab.state import LabHost, LabState
from mainstay.transport import multiplex
from mainstay.transport.route import folder_of_operator, sockets

# Held while networks are given out and while the machine's own settings change.
_MACHINE_LOCK = "machine"
# Where systemd-nspawn, when it is killed, leaves something by the machine's name, and by its root's inode.
_NSPAWN = Path("/run/systemd/nspawn")


def open_lab(paths: LabPaths, say: Say) -> LabState:
    """The lab's state, with a network given out and a key made when it is new."""
    LOCKS.mkdir(parents=True, exist_ok=True)
    HOME.chmod(0o755)
    with locked(_MACHINE_LOCK, say):
        lab = state.load(paths)
        if lab is None:
            taken = {other.index for other in state.all_states()}
            lab = LabState(paths.name, free_index(paths.name, taken, network.foreign_networks()))
            paths.root.mkdir(parents=True, exist_ok=True)
            lab.save(paths)
    if not paths.key.exists():
        make_key(paths.key, f"mainstay lab {paths.name}")
    return lab


def enrol(lab: LabState, system: str, wanted: Sequence[Wanted], images: dict[int, Path]) -> list[LabHost]:
    """The lab's entries of these hosts, new ones with the next free address; one that is there keeps its own."""
    found = []
    for host in wanted:
        old = next((o for o in lab.hosts if (o.system, o.env, o.name) == (system, host.env, host.name)), None)
        if old is None:
            number = lab.network.free_number({other.number for other in lab.hosts})
            old = LabHost(system, host.env, host.name, number, host.roles, host.debian, str(images[host.debian]))
            lab.hosts.append(old)
        found.append(old)
    return found


def lay_network(lab: LabState, paths: LabPaths, say: Say) -> None:
    """The lab's bridge and way out, and nothing on it that belongs to no host any more."""
    known = {lab.network.gateway_link, *(lab.network.link(host.number) for host in lab.hosts)}
    for link in set(network.links_of(lab.network)) - known:
        remove(Machine(link, paths.root / "hosts" / link, (), link, lab.network.gateway))
    with locked(_MACHINE_LOCK, say):
        network.open_uplink()
        limits.lift()
    network.lay(lab.network)


def boot_gateway(lab: LabState, paths: LabPaths, source: Mirror, say: Say) -> Machine:
    """The gateway, started and with the names of all hosts."""
    base = image.ensure_base(gateway.DEBIAN, source, say)
    layer = gateway.ensure_image(base, source, say)
    machine = gateway.machine(lab.network, paths, layer, base)
    hosts.make_disk(machine, lambda: gateway.imprint_disk(machine, lab.network, paths, source))
    gateway.write_names(machine, hosts.names_inside(lab))
    if machine.is_running():
        run(machine.inside("systemctl", "try-reload-or-restart", "lab-dns"))
    hosts.power_on(machine, lab)
    return machine


def boot_hosts(lab: LabState, chosen: Sequence[LabHost], paths: LabPaths, say: Say) -> None:
    """Makes, starts and waits for these hosts."""
    hosts.in_parallel(lambda host: hosts.make(host, lab, paths), chosen)
    hosts.write_access(lab, paths)

    def boot(host: LabHost) -> None:
        machine = hosts.machine_of(host, lab, paths)
        hosts.power_on(machine, lab)
        hosts.wait(machine)
        say(f"{host.name} is up at {machine.address}")

    hosts.in_parallel(boot, chosen)


def hang_up(machine: Machine, paths: LabPaths) -> None:
    """Ends the connections to a host that commands of before have left open."""
    for folder in (paths.sockets, folder_of_operator()):
        for socket in sockets(folder, str(machine.address)):
            multiplex.end(socket)


def remove(machine: Machine) -> None:
    """Takes a host away with its disk, its cable and what systemd-nspawn remembers of it."""
    machine.stop()
    network.unplug(machine.link)
    left = [_NSPAWN / "propagate" / machine.link, _NSPAWN / "unix-export" / machine.link]
    if machine.root.exists():
        root = machine.root.stat()
        left.append(_NSPAWN / "locks" / f"inode-{root.st_dev}:{root.st_ino}")
    machine.discard()
    for path in left:
        remove_tree(path)


def lift(lab: LabState, paths: LabPaths, say: Say) -> None:
    """Takes away what a lab without hosts still has: gateway, network, directory; the last lab puts forwarding back."""
    link = lab.network.gateway_link
    machine = Machine(link, paths.gateway, (), "gateway", lab.network.gateway)
    machine.stop()
    remove(machine)
    for left in network.links_of(lab.network):
        remove(Machine(left, paths.root / "hosts" / left, (), left, lab.network.gateway))
    network.lift(lab.network)
    cgroups.sweep(lab.network.bridge)
    forget(paths, say)


def forget(paths: LabPaths, say: Say) -> None:
    """Removes the lab's directory; after the last lab, the machine's settings are as they were before the first."""
    with locked(_MACHINE_LOCK, say):
        remove_tree(paths.root)
        if not state.names():
            network.close_uplinks()
            limits.put_back()
