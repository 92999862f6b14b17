"""How a host is reached: who logs in, with which key, trusting which host keys."""

from __future__ import annotations

import os
import shlex
import subprocess
from pathlib import Path
from typing import Any

from mainstay.errors import HostError
from mainstay.inventory import Environment, Host, groups
from mainstay.inventory.operator import operator
from mainstay.lab.paths import LabPaths
from mainstay.lab.sshfiles import KEX
from mainstay.transport.route import Route, folder_of_operator


def config_block(environment: Environment, host: Host) -> str:
    """An ssh_config block for one host."""
    if environment.lacking(host):
        return f"Host {host.name}\n  ProxyCommand false\n"  # without a block, ssh would look for the bare name
    lines = [
        f"Host {host.name}",
        f"  HostName {host.address}",
        f"  Port {host.ssh_port}",
        f"  User {operator(environment)}",
        f"  UserKnownHostsFile {groups.known_hosts(environment)}",
        "  StrictHostKeyChecking yes",
        "  BatchMode yes",
        "  ControlPath none",
        "  LogLevel ERROR",
    ]
    if environment.lab:
        lines.append(f"  IdentityFile {environment.lab.key_path}")
        lines.append(f"  {KEX}")
        lines.append("  IdentitiesOnly yes")
    return "\n".join(lines) + "\n"


def host_data(environment: Environment, host: Host, *, first_contact: bool = False) -> dict[str, Any]:
    """pyinfra's data of one host, reached as the operator, or as the image's user on first contact.

    Raises:
        UsageError: it is not clear which operator works.
    """
    user = environment.bootstrap_user if first_contact else operator(environment)
    return groups.host_data(environment, host, user)


def route(environment: Environment, host: Host, *, first_contact: bool = False) -> Route:
    """How Mainstay's commands reach a host: as the operator, or as the image's user on first contact.

    Raises:
        HostError: the lab lacks the host.
        UsageError: it is not clear which operator works.
    """
    if lacking := environment.lacking(host):
        raise HostError(host.name, lacking)
    user = environment.bootstrap_user if first_contact else operator(environment)
    options = [("StrictHostKeyChecking", "yes"), ("UserKnownHostsFile", str(groups.known_hosts(environment)))]
    key, folder = None, folder_of_operator()
    if environment.lab:
        key, folder = Path(environment.lab.key_path), LabPaths(environment.lab.name).sockets
        name, _, value = KEX.partition(" ")
        options.append((name, value))
    return Route(host.address, user, host.ssh_port, key, tuple(options), folder=folder)


def command_line(environment: Environment, host: Host) -> list[str]:
    """OpenSSH's argv up to the host, for a connection of its own (no multiplexing), never prompting.

    Raises:
        HostError: the lab lacks the host.
    """
    if lacking := environment.lacking(host):
        raise HostError(host.name, lacking)
    argv = ["ssh", "-o", "BatchMode=yes", "-o", "StrictHostKeyChecking=yes", "-o", "ConnectTimeout=5"]
    argv += ["-o", "ControlMaster=no", "-o", "ControlPath=none", "-o", "LogLevel=ERROR", "-p", str(host.ssh_port)]
    argv += ["-o", f"UserKnownHostsFile={groups.known_hosts(environment)}"]
    if environment.lab:
        argv += ["-o", "IdentitiesOnly=yes", "-i", str(environment.lab.key_path)]
        argv += ["-o", KEX]
    return [*argv, "-l", operator(environment), host.address]


def run_fresh(environment: Environment, host: Host, command: str, timeout: float) -> str:
    """Runs `command` as root over a connection made for it alone: the proof that an operator can still get in.

    Raises:
        HostError: no connection, no sudo, or the command failed, within `timeout` seconds.
    """
    argv = [*command_line(environment, host), f"sudo -n sh -c {shlex.quote(command)}"]
    try:
        done = subprocess.run(
            argv, capture_output=True, text=True, timeout=timeout, stdin=subprocess.DEVNULL, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise HostError(host.name, f"no answer to a new connection within {timeout:g} s") from error
    if done.returncode != 0:
        lines = (done.stderr or done.stdout).strip().splitlines()
        raise HostError(host.name, lines[-1] if lines else f"ssh ended with {done.returncode}")
    return done.stdout


def state_folder() -> Path:
    """Where this laptop keeps what it remembers (index of the ledger, logs): $XDG_STATE_HOME/mainstay, 0700."""
    base = Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state")
    folder = base / "mainstay"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    return folder
