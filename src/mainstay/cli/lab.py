"""`mainstay lab`: real hosts of a system on this machine, and what can happen to them."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import asdict
from typing import Annotated

import typer

from mainstay import project
from mainstay.cli import output
from mainstay.errors import UsageError
from mainstay.inventory.stores import lab_from_environment
from mainstay.lab import memory
from mainstay.lab import status as lab_status
from mainstay.lab.lab import Lab
from mainstay.lab.state import names

app = typer.Typer(no_args_is_help=True, help="Real Debian hosts on this machine: boot them, cut them off, kill them.")

Host = Annotated[str, typer.Argument(metavar="HOST", help="HOST, ENV/HOST or SYSTEM/ENV/HOST.")]


def _lab() -> Lab:
    """The lab that MAINSTAY_LAB names, else the one called lab."""
    return Lab(lab_from_environment() or "lab", output.told)


@app.command()
def up(
    system: Annotated[
        str | None, typer.Argument(metavar="[SYSTEM]", help="A system: a folder of inventories/.")
    ] = None,
    everything: Annotated[
        bool, typer.Option("--all", help="Every system of inventories/, staging by default.")
    ] = False,
    *,
    env: Annotated[str | None, typer.Option(help="Only this environment: staging or production.")] = None,
    debian: Annotated[int | None, typer.Option(help="12 or 13, instead of what the inventory says.")] = None,
    hosts: Annotated[str, typer.Option(help="Only these hosts, separated by commas.")] = "",
    without: Annotated[
        str, typer.Option(metavar="ROLES", help="Do without these (monitoring): no such hosts, nothing of it anywhere.")
    ] = "",
) -> int:
    """Boot the hosts of a system, or staging of all systems side by side; those that run are left as they are."""
    if everything and without:
        raise UsageError("--without: found it beside --all, expected one system.")
    systems = _systems(system, everything=everything, hosts=hosts)
    lab, begin, before = _lab(), time.monotonic(), memory.in_use()
    chosen = []
    for name in systems:
        only = [host for host in hosts.split(",") if host]
        which = env or ("staging" if everything else None)
        left = [role for role in without.split(",") if role]
        chosen += lab.up(name, only, env=which, debian=debian, without=left)
    seconds, more = time.monotonic() - begin, max(memory.in_use() - before, 0) / (1 << 20)
    output.told(f"{len(chosen)} hosts of {', '.join(systems)} are up after {seconds:.1f} s; {more:.0f} MiB more in use")
    _show(lab)
    return 0


def _systems(system: str | None, *, everything: bool, hosts: str) -> list[str]:
    """What to boot.

    Raises:
        UsageError: neither a system nor all of them, or both, or some hosts of all.
    """
    if everything and (system or hosts):
        raise UsageError(f"--all: found {system or '--hosts'} beside it, expected every host of every system.")
    if not everything and system is None:
        raise UsageError("SYSTEM: found nothing, expected a system, or --all.")
    found = project.systems(project.root()) if system is None else [system]
    if not found:
        raise UsageError(f"{project.root()}: found no system, expected one: mainstay init NAME makes it.")
    return found


@app.command()
def down(
    system: Annotated[str | None, typer.Argument(metavar="[SYSTEM]", help="Only the hosts of this system.")] = None,
    everything: Annotated[bool, typer.Option("--all", help="Every lab of this machine.")] = False,
) -> int:
    """Take hosts away; with the last one goes all that the lab changed on this machine."""
    for lab in [Lab(name, output.told) for name in names()] if everything else [_lab()]:
        gone = lab.down(None if everything else system)
        output.told(f"lab {lab.name}: {len(gone)} hosts are gone")
    return 0


@app.command()
def status(json: Annotated[bool, typer.Option("--json", help="JSON (docs/json/lab.schema.json).")] = False) -> int:
    """Show the lab's hosts: address, power, network."""
    lab = _lab()
    if json:
        output.data({"lab": lab.name, "hosts": [asdict(host) for host in lab_status.read(lab)]})
    else:
        _show(lab)
    return 0


@app.command(context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False})
def ssh(
    host: Host,
    command: Annotated[list[str] | None, typer.Argument(metavar="[COMMAND]...")] = None,
    user: Annotated[str | None, typer.Option(help="By default an operator, before first contact the image's.")] = None,
) -> int:
    """Log in to a host, or run a command there; its exit code is the host's."""
    argv = _lab().ssh_argv(host, *(command or []), user=user)
    os.execvp(argv[0], argv)  # noqa: S606 - ssh takes this process's place, terminal and all


@app.command()
def cut(host: Host) -> int:
    """Pull a host's network cable."""
    return _done(lambda lab: lab.cut(host), f"{host} is cut off; put it back: mainstay lab heal {host}")


@app.command()
def heal(host: Host) -> int:
    """Put a host's network cable back."""
    return _done(lambda lab: lab.heal(host), f"{host} is on the network again")


@app.command()
def kill(host: Host) -> int:
    """Pull a host's plug: every process is gone at once."""
    return _done(lambda lab: lab.kill(host), f"{host} is off; power it on: mainstay lab boot {host}")


@app.command()
def boot(host: Host) -> int:
    """Power a host on, with its disk as it was."""
    return _done(lambda lab: lab.boot(host), f"{host} is up")


def _done(act: Callable[[Lab], None], said: str) -> int:
    act(_lab())
    output.told(said)
    return 0


def _show(lab: Lab) -> None:
    rows = []
    for host in lab_status.read(lab):
        state = ("on" if host.power else "off") + ("" if host.plugged else ", cut")
        where = f"{host.system}/{host.env}"
        rows.append([host.name, where, host.address, ", ".join(host.roles), str(host.debian), state])
    output.table(f"lab {lab.name}", ["host", "environment", "address", "roles", "Debian", "state"], rows)
    output.line(f"ssh -F {lab.paths.ssh_config} HOST")
