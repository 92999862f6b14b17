"""How a host is reached: who logs in, with which key, trusting which host keys."""

from __future__ import annotations

import os
import shlex
import socket
import subprocess
from pathlib import Path
from typing import Any

import paramiko

from mainstay.errors import HostError
from mainstay.inventory import Environment, Host


def config_block(environment: Environment, host: Host, folder: Path) -> str:
    """An ssh_config block for one host, with a connection that is shared while `folder` lasts."""
    name, port = address(environment, host)
    lines = [
        f"Host {host.name}",
        f"  HostName {name}",
        f"  Port {port}",
        f"  User {operator(environment)}",
        "  StrictHostKeyChecking yes",
        "  BatchMode yes",
        f"  ControlPath {folder}/%C",
        "  LogLevel ERROR",
    ]
    if environment.lab:
        lines.append(f"  UserKnownHostsFile {environment.lab.known_hosts}")
        lines.append(f"  IdentityFile {environment.lab.key_path}")
        lines.append("  IdentitiesOnly yes")
    return "\n".join(lines) + "\n"


def operator(environment: Environment) -> str:
    """The named operator who works: MAINSTAY_OPERATOR, else the local user if listed, else the only one listed.

    Raises:
        UsageError: it is not clear who works.
    """
    return environment.operator()


def address(environment: Environment, host: Host) -> tuple[str, int]:
    """Address and SSH port; the model has put in the lab's where the lab is asked for."""
    return host.address, host.ssh_port


def no_delay_transport(sock: Any, **kwargs: Any) -> paramiko.Transport:
    """A paramiko transport without Nagle's wait of 40 ms a question; a ProxyJump channel has no such option."""
    if isinstance(sock, socket.socket):
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return paramiko.Transport(sock, **kwargs)


def host_data(environment: Environment, host: Host, *, first_contact: bool = False) -> dict[str, Any]:
    """pyinfra's data of one host: connection, sudo, and the model for `mainstay.context`."""
    name, port = address(environment, host)
    data: dict[str, Any] = {
        "ssh_hostname": name,
        "ssh_port": port,
        "ssh_user": environment.bootstrap_user if first_contact else operator(environment),
        "ssh_strict_host_key_checking": "yes",
        "ssh_paramiko_connect_kwargs": {"transport_factory": no_delay_transport},
        "_sudo": True,
        "mainstay_environment": environment,
        "mainstay_host": host,
    }
    if environment.lab:
        data["ssh_key"] = str(environment.lab.key_path)
        data["ssh_known_hosts_file"] = str(environment.lab.known_hosts)
    return data


def command_line(environment: Environment, host: Host) -> list[str]:
    """OpenSSH's argv up to the host, for a connection of its own (no multiplexing), never prompting."""
    name, port = address(environment, host)
    argv = ["ssh", "-o", "BatchMode=yes", "-o", "StrictHostKeyChecking=yes", "-o", "ConnectTimeout=5"]
    argv += ["-o", "ControlMaster=no", "-o", "ControlPath=none", "-o", "LogLevel=ERROR", "-p", str(port)]
    if environment.lab:
        argv += ["-o", f"UserKnownHostsFile={environment.lab.known_hosts}", "-o", "IdentitiesOnly=yes"]
        argv += ["-i", str(environment.lab.key_path)]
    return [*argv, "-l", operator(environment), name]


def run_fresh(environment: Environment, host: Host, command: str, timeout: float) -> str:
    """Runs `command` as root over a connection made for it alone: the proof that an operator can still get in.

    Raises:
        HostError: no connection, no sudo, or the command failed, within `timeout` seconds.
    """
    argv = [*command_line(environment, host), f"sudo -n sh -c {shlex.quote(command)}"]
    try:
        done = subprocess.run(argv, capture_output=True, text=True, timeout=timeout, stdin=subprocess.DEVNULL)
    except subprocess.TimeoutExpired as error:
        raise HostError(host.name, f"no answer to a new connection within {timeout:g} s") from error
    if done.returncode != 0:
        lines = (done.stderr or done.stdout).strip().splitlines()
        raise HostError(host.name, lines[-1] if lines else f"ssh ended with {done.returncode}")
    return done.stdout


def execute(client: Any, name: str, command: str, *, stdin: str, timeout: float) -> str:
    """Runs `command` as root on an open paramiko connection and returns its standard output.

    Raises:
        HostError: it ended with something else than 0, or took longer than `timeout` seconds.
    """
    reader, out, err = client.exec_command(f"sudo -n bash -c {shlex.quote(command)}", timeout=timeout)
    try:
        if stdin:
            reader.write(stdin)
        reader.channel.shutdown_write()
        output, errors = out.read().decode(errors="replace"), err.read().decode(errors="replace")
    except TimeoutError as error:
        out.channel.close()
        raise HostError(name, f"no answer within {timeout:g} s to: {command.splitlines()[0][:80]}") from error
    status = out.channel.recv_exit_status()
    if status != 0:
        lines = (errors or output).strip().splitlines()
        raise HostError(name, lines[-1] if lines else f"ended with {status}: {command.splitlines()[0][:80]}")
    return str(output)


def state_folder() -> Path:
    """Where this laptop keeps what it remembers (index of the ledger, logs): $XDG_STATE_HOME/mainstay, 0700."""
    base = Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state")
    folder = base / "mainstay"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    return folder
