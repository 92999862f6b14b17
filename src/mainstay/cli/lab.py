"""`mainstay lab`: real hosts of a system on this machine, and what can happen to them."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import asdict
from typing import Annotated

import typer

from mainstay.cli import output
from mainstay.inventory.stores import lab_from_environment
from mainstay.lab import status as lab_status
from mainstay.lab.lab import Lab
from mainstay.lab.state import names

app = typer.Typer(no_args_is_help=True, help="Real Debian hosts on this machine: boot them, cut them off, kill them.")

System = Annotated[str, typer.Argument(metavar="SYSTEM", help="A system: a folder of inventories/.")]
Host = Annotated[str, typer.Argument(metavar="HOST", help="HOST, ENV/HOST or SYSTEM/ENV/HOST.")]


def _lab() -> Lab:
    """The lab that MAINSTAY_LAB names, else the one called lab."""
    return Lab(lab_from_environment() or "lab", output.told)


@app.command()
def up(
    system: System,
    env: Annotated[str | None, typer.Option(help="Only this environment: staging or production.")] = None,
    debian: Annotated[int | None, typer.Option(help="12 or 13, instead of what the inventory says.")] = None,
    hosts: Annotated[str, typer.Option(help="Only these hosts, separated by commas.")] = "",
) -> int:
    """Boot the hosts of a system; those that run are left as they are."""
    lab = _lab()
    begin = time.monotonic()
    chosen = lab.up(system, [name for name in hosts.split(",") if name], env=env, debian=debian)
    output.told(f"{len(chosen)} hosts of {system} are up after {time.monotonic() - begin:.1f} s")
    _show(lab)
    return 0


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
