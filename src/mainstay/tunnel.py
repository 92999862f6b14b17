"""A tunnel through a host: what connects here reaches a server as if it came from there."""

from __future__ import annotations

import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from mainstay import ssh
from mainstay.errors import HostError
from mainstay.inventory import Environment, Host

READY_S = 15.0


@contextmanager
def forwarded(environment: Environment, via: Host, address: str, port: int) -> Iterator[Path]:
    """A folder with the socket `.s.PGSQL.<port>`, whose connections leave from `via` to `address:port`.

    The name is the one that libpq looks for in a folder given as host; other clients open the socket by its path. Only
    the calling user can: the folder is private, and no port of this machine is opened.

    Raises:
        HostError: no connection to `via`, or it does not forward.
    """
    with tempfile.TemporaryDirectory(prefix="mainstay-tunnel-") as folder:
        door = Path(folder) / f".s.PGSQL.{port}"
        target = f"[{address}]" if ":" in address else address
        options = ["-N", "-o", "ExitOnForwardFailure=yes", "-L", f"{door}:{target}:{port}"]
        command = ssh.command_line(environment, via)
        process = subprocess.Popen(
            [*command[:1], *options, *command[1:]], stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
        )
        try:
            await_listener(process, door, via.name)
            yield Path(folder)
        finally:
            process.terminate()
            process.wait()
            if process.stderr:
                process.stderr.close()


class Tunnels:
    """Tunnels that stay until `close`, one each way: a connection of SSH costs more than what is asked by it."""

    def __init__(self, environment: Environment) -> None:
        self._environment = environment
        self._open = ExitStack()
        self._folders: dict[tuple[str, str, int], Path] = {}

    def to(self, via: Host, address: str, port: int) -> Path:
        """As `forwarded`; the same folder each time.

        Raises:
            HostError: no connection to `via`, or it does not forward; the next call tries again.
        """
        way = (via.name, address, port)
        if way not in self._folders:
            self._folders[way] = self._open.enter_context(forwarded(self._environment, via, address, port))
        return self._folders[way]

    def close(self) -> None:
        """Ends all of them."""
        self._folders.clear()
        self._open.close()


def await_listener(process: subprocess.Popen[str], door: Path, name: str) -> None:
    """Waits until the process takes connections at the socket `door`; between making it and listening it refuses them.

    Raises:
        HostError: the process, which goes through host `name`, ended or is too slow.
    """
    deadline = time.monotonic() + READY_S
    while not _takes_connections(door):
        if process.poll() is not None:
            lines = (process.stderr.read() if process.stderr else "").strip().splitlines()
            raise HostError(name, f"no tunnel: {lines[-1] if lines else f'ssh ended with {process.returncode}'}")
        if time.monotonic() > deadline:
            raise HostError(name, f"no tunnel within {READY_S:g} s")
        time.sleep(0.02)


def _takes_connections(door: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as probe:
        try:
            probe.connect(str(door))
        except OSError:
            return False
    return True
