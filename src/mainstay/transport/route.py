"""How OpenSSH gets to a host, and where a connection to it is kept open between commands."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import stat
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

CONNECTS_WITHIN_S = 10
# Three of these seconds after a host went away, whoever waits on it is told, and its connection ends.
ALIVE_S = 5
KEPT_S = 300
# What a socket's path may have less a NUL, and what OpenSSH puts behind it while it makes the socket.
_LONGEST_PATH = 103 - 17
_ALWAYS = {
    "BatchMode": "yes",
    "ConnectTimeout": str(CONNECTS_WITHIN_S),
    "ServerAliveInterval": str(ALIVE_S),
    "ServerAliveCountMax": "3",
    "LogLevel": "ERROR",
    # What an operator's own ssh_config may want for a login is not for commands.
    "RequestTTY": "no",
    "RemoteCommand": "none",
    "ClearAllForwardings": "yes",
    "ForwardAgent": "no",
    "ForwardX11": "no",
}


@dataclass(frozen=True)
class Route:
    """How `ssh` reaches one host as one user.

    Attributes:
        destination: an address, or a name that an ssh_config knows.
        options: by the names of ssh_config; those of the operator's own file hold where these say nothing.
        user, port, key: None where ssh_config says.
        config: the ssh_config instead of the operator's own.
        folder: where its connection is kept open; None: it ends with the command.
    """

    destination: str
    user: str | None = None
    port: int | None = None
    key: Path | None = None
    options: tuple[tuple[str, str], ...] = ()
    config: Path | None = None
    folder: Path | None = None

    @property
    def whose(self) -> str:
        """The host as the user who logs in writes it."""
        return f"{self.user}@{self.destination}" if self.user else self.destination

    @property
    def known_hosts(self) -> str:
        """The file that the host's key is looked up in."""
        return dict(self.options).get("UserKnownHostsFile", "~/.ssh/known_hosts")

    @cached_property
    def socket(self) -> Path | None:
        """The socket of its open connection; None where none can be kept.

        Its name holds what leads to the host and who is trusted: with another key, another known_hosts or another
        ssh_config it is another connection.
        """
        if self.folder is None or not _private(self.folder):
            return None
        read = [self.known_hosts, str(self.config or "~/.ssh/config"), *([str(self.key)] if self.key else [])]
        parts = (self.destination, self.user, self.port, self.options, [_content(Path(path)) for path in read])
        digest = hashlib.sha256(repr((parts, read)).encode()).hexdigest()
        path = self.folder / f"{_plain(self.destination)}-{digest[:12]}"
        return path if len(os.fsencode(path)) <= _LONGEST_PATH else None

    def argv(self, command: str) -> list[str]:
        """The program that runs a command there over a connection of its own, which is kept open where it can be."""
        options = {**_ALWAYS, **dict(self.options)}
        if self.socket is None:
            options |= {"ControlMaster": "no", "ControlPath": "none"}
        else:
            path = str(self.socket).replace("%", "%%")
            options |= {"ControlMaster": "auto", "ControlPath": path, "ControlPersist": str(KEPT_S)}
        argv = ["ssh", *(["-F", str(self.config)] if self.config else [])]
        if self.key is not None:
            argv += ["-i", str(self.key)]
            options["IdentitiesOnly"] = "yes"
        argv += ["-l", self.user] if self.user else []
        argv += ["-p", str(self.port)] if self.port else []
        for name, value in options.items():
            argv += ["-o", f'{name}="{value}"' if " " in value else f"{name}={value}"]
        return [*argv, "--", self.destination, command]

    def keeping(self) -> list[str]:
        """The program that opens the connection which is kept at `socket`, and ends; nothing is run on the host.

        Where it is open already, `ssh` has no use for `-N` and runs the command.
        """
        program, *rest = self.argv("true")
        return [program, "-N", *rest]


def of_data(data: Mapping[str, Any], name: str) -> Route | None:
    """The route of pyinfra's data of one host; None where it wants what only pyinfra's own connector does.

    That is a password, a forwarded agent, and a machine without `ssh`.
    """
    if any(data[key] for key in ("ssh_password", "ssh_key_password", "ssh_forward_agent")) or not shutil.which("ssh"):
        return None
    options = {
        "StrictHostKeyChecking": data["ssh_strict_host_key_checking"],
        "UserKnownHostsFile": data["ssh_known_hosts_file"],
        "IdentityAgent": "" if data["ssh_allow_agent"] else "none",
        "IdentityFile": "" if data["ssh_look_for_keys"] or data["ssh_key"] else "none",
    }
    key, config = data["ssh_key"], data["ssh_config_file"]
    return Route(
        data["ssh_hostname"] or name,
        data["ssh_user"] or None,
        int(data["ssh_port"] or 0) or None,
        Path(key).expanduser().absolute() if key else None,
        tuple((option, str(value)) for option, value in options.items() if value),
        Path(config).expanduser().absolute() if config else None,
        folder_of_operator(),
    )


def folder_of_operator() -> Path:
    """Where this user's connections are kept: the system's folder for what lasts as long as a login, else one in /tmp.

    It is not the folder of what Mainstay remembers: the path of a socket must be short.
    """
    base = os.environ.get("XDG_RUNTIME_DIR")
    if base and Path(base).is_dir():
        return Path(base) / "mainstay"
    return Path(tempfile.gettempdir()) / f"mainstay-{os.geteuid()}"


def sockets(folder: Path, destination: str) -> list[Path]:
    """The sockets of the connections to one host that are kept in a folder."""
    return sorted(folder.glob(f"{_plain(destination)}-*"))


def _plain(destination: str) -> str:
    return re.sub(r"[^A-Za-z0-9.]", "_", destination)[:40]


def _private(folder: Path) -> bool:
    """Whether the folder, made where it is not there, is this user's own and nobody else's to look into."""
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        found = folder.lstat()
    except OSError:
        return False
    return stat.S_ISDIR(found.st_mode) and found.st_uid == os.geteuid() and not found.st_mode & 0o077


def _content(path: Path) -> str:
    """Stands for what is in a file now; empty where it cannot be read."""
    try:
        found = path.expanduser().stat()
        return _digest(path.expanduser(), found.st_mtime_ns, found.st_size)
    except OSError:
        return ""


@lru_cache
def _digest(path: Path, changed: int, size: int) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
