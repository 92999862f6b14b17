"""The lab: real hosts in seconds, and what can happen to them."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from mainstay.errors import LabError
from mainstay.lab import (
    access,
    full_disk,
    hosts,
    image,
    inventories,
    lifecycle,
    mirror,
    network,
    requirements,
    state,
    store,
)
from mainstay.lab.addresses import DEFAULT_LAB, checked_name
from mainstay.lab.inventories import Wanted
from mainstay.lab.machine import Machine
from mainstay.lab.outside import Say, locked
from mainstay.lab.paths import LabPaths
from mainstay.lab.state import LabHost, LabState


class Lab:
    """One lab of this machine, by name; other labs beside it are not touched.

    Every method raises LabError where this machine cannot run a lab, the lab is not up, or it has no such host. Hosts
    are named `host`, or `env/host` or `system/env/host` where the name alone is not clear. `say` gets lines to show.
    """

    def __init__(self, name: str = DEFAULT_LAB, say: Say = lambda line: None) -> None:
        self.name = checked_name(name)
        self.paths = LabPaths(name)
        self._say = say

    def up(
        self,
        system: str,
        hosts: Sequence[str] | None = None,
        *,
        env: str | None = None,
        debian: int | None = None,
        without: Sequence[str] = (),
    ) -> list[LabHost]:
        """Boots the hosts of a system's inventories and returns them; those that run are left as they are.

        Args:
            hosts: only these, by name or `env/name`; all by default.
            env: only this environment.
            debian: this release of Debian instead of the one that the inventory gives each host.
            without: roles to do without; what is of them is left out of every command in this lab.

        Raises:
            LabError: no such inventory, host or role, or a host does not boot.
        """
        requirements.require()
        declared = inventories.leave_out(inventories.hosts_of(system, env), without, system)
        wanted = inventories.choose(declared, hosts, system)
        if debian is not None:
            wanted = [Wanted(host.env, host.name, host.roles, debian) for host in wanted]
        return self.provide(system, wanted, without)

    def provide(self, system: str, wanted: Sequence[Wanted], without: Sequence[str] = ()) -> list[LabHost]:
        """Boots these hosts, whether an inventory has them or not; otherwise as `up`."""
        requirements.require()
        with locked(f"lab-{self.name}", self._say):
            source = mirror.of_this_machine()
            images = {debian: image.ensure_base(debian, source, self._say) for debian in {h.debian for h in wanted}}
            lab = lifecycle.open_lab(self.paths, self._say)
            chosen = lifecycle.enrol(lab, system, wanted, images)
            lab.without[system] = list(without)
            lab.save(self.paths)
            lifecycle.lay_network(lab, self.paths, self._say)
            gateway = lifecycle.boot_gateway(lab, self.paths, source, self._say)
            lifecycle.boot_hosts(lab, chosen, self.paths, self._say)
            store.provide(lab, self.paths, lab.systems)
            hosts.wait_for_packages(gateway)
            return chosen

    def down(self, system: str | None = None) -> list[LabHost]:
        """Takes the hosts of a system away, or all, and returns them.

        With the last one goes all that the lab changed on this machine. Nothing to do is no error.
        """
        requirements.require()
        with locked(f"lab-{self.name}", self._say):
            lab = state.load(self.paths)
            if lab is None:
                lifecycle.forget(self.paths, self._say)
                return []
            leaving = lab.hosts_of(system)
            hosts.in_parallel(lambda host: self._take_away(self._machine(lab, host)), leaving)
            lab.hosts = [host for host in lab.hosts if host not in leaving]
            if lab.hosts:
                lab.save(self.paths)
                hosts.write_access(lab, self.paths)
            else:
                lifecycle.lift(lab, self.paths, self._say)
            return leaving

    def cut(self, host: str) -> None:
        """Pulls the host's network cable."""
        with self._host(host) as (_, machine):
            network.cut(machine.link)

    def heal(self, host: str) -> None:
        """Puts the host's network cable back."""
        with self._host(host) as (lab, machine):
            network.heal(lab.network, machine.link)

    def kill(self, host: str) -> None:
        """Pulls the host's plug: every process is gone at once, none was asked."""
        with self._host(host) as (_, machine):
            machine.stop()

    def boot(self, host: str) -> None:
        """Powers the host on, with its disk as it was and its cable plugged in, and waits until it answers.

        Raises:
            LabError: it does not boot, or its disk went with a crash of the machine outside.
        """
        with self._host(host) as (lab, machine):
            if not machine.has_disk():
                raise LabError(f"{host}: found no disk after a crash of this machine, expected one: run lab up again.")
            hosts.power_on(machine, lab)
            hosts.wait(machine)

    def exec(self, host: str, command: str, *, stdin: str | None = None) -> subprocess.CompletedProcess[str]:
        """Runs a shell command on the host over SSH, as a user who may use sudo without a password."""
        argv = self.ssh_argv(host, command)
        return subprocess.run(argv, input=stdin or "", capture_output=True, text=True, check=False)

    def ssh_argv(self, host: str, *command: str, user: str | None = None) -> list[str]:
        """OpenSSH's command line for the host, as `user`, by default whoever is let in."""
        lab = self.state()
        entry = lab.find(host)
        if not os.access(self.paths.key, os.R_OK):
            raise LabError(f"The lab {self.name!r} belongs to root: run this command as root.")
        chosen = user or access.user_of(self._machine(lab, entry), self.paths)
        return ["ssh", "-F", str(self.paths.ssh_config), "-l", chosen, hosts.address_of(entry, lab), *command]

    def inside(self, host: str, *argv: str) -> subprocess.CompletedProcess[str]:
        """Runs a program as root in the host without its network or sshd, as somebody at its keyboard would."""
        lab = self.state()
        command = self._machine(lab, lab.find(host)).inside(*argv)
        return subprocess.run(command, capture_output=True, text=True, check=False)

    def outside_exec(self, *argv: str) -> subprocess.CompletedProcess[str]:
        """Runs a program on the machine outside, whose address on the lab's bridge is where operators come from."""
        return subprocess.run(argv, capture_output=True, text=True, check=False)

    def address(self, host: str) -> str:
        """The host's address."""
        lab = self.state()
        return hosts.address_of(lab.find(host), lab)

    def namespace(self, host: str) -> str:
        """The host's network namespace, for `ip netns exec`; its veth outside has the same name."""
        lab = self.state()
        return lab.network.link(lab.find(host).number)

    def attach_full_disk(self, host: str, path: str, size: int) -> None:
        """Puts an ext4 file system of `size` bytes on the host's directory `path`, with what the directory holds."""
        with self._host(host) as (_, machine):
            full_disk.attach(machine, path, size)

    def detach_full_disk(self, host: str, path: str) -> None:
        """Takes that file system away again."""
        with self._host(host) as (_, machine):
            full_disk.detach(machine, path)

    def state(self) -> LabState:
        """Which hosts the lab has."""
        lab = state.load(self.paths)
        if lab is None:
            raise LabError(f"The lab {self.name!r} is not up; boot a system's hosts: mainstay lab up SYSTEM.")
        return lab

    @contextmanager
    def _host(self, name: str) -> Iterator[tuple[LabState, Machine]]:
        requirements.require()
        with locked(f"lab-{self.name}", self._say):
            lab = self.state()
            yield lab, self._machine(lab, lab.find(name))

    def _take_away(self, machine: Machine) -> None:
        lifecycle.hang_up(machine, self.paths)
        lifecycle.remove(machine)

    def _machine(self, lab: LabState, host: LabHost) -> Machine:
        return hosts.machine_of(host, lab, self.paths)
