"""`python -m bench.drivers.floor ROUNDS KEY FOLDER HOST=ADDRESS:PORT,...`: all questions in one exec a host.

What no tool over SSH can be faster than by much: a connection, one command, its answers. paramiko with TCP_NODELAY, a
thread a host, no parsing. The first round connects and asks (cold); the second asks over the same connections (open).
Prints one line of JSON: seconds of imports, of the cold round, of the open one, processor time, bytes that came.
"""

from __future__ import annotations

import time

STARTED = time.perf_counter()

import json  # noqa: E402
import socket  # noqa: E402
import sys  # noqa: E402
from concurrent.futures import ThreadPoolExecutor  # noqa: E402
from itertools import pairwise  # noqa: E402
from pathlib import Path  # noqa: E402
from threading import BoundedSemaphore  # noqa: E402

import paramiko  # noqa: E402

LIMIT_S = 300.0
USER = "alex"
# sshd turns some away when more than ten have not logged in yet (MaxStartups), and a host stands for ten targets.
LOGGING_IN = BoundedSemaphore(64)


class Host:
    """One host and its questions."""

    def __init__(self, key: paramiko.PKey, trusted: dict[str, paramiko.PKey], place: str, script: bytes) -> None:
        address, _, port = place.rpartition(":")
        self._place = (address, int(port))
        self._key, self._trusted, self._script = key, trusted[address], script
        self._transport: paramiko.Transport | None = None

    def ask(self) -> int:
        """All questions in one exec, over the connection that there is; the bytes that came."""
        if self._transport is None:
            with LOGGING_IN:
                self._transport = self._logged_in()
        channel = self._transport.open_session()
        channel.settimeout(LIMIT_S)
        channel.exec_command("sudo -n -H sh -s")
        channel.sendall(self._script)
        channel.shutdown_write()
        answer = b""
        while piece := channel.recv(1 << 18):
            answer += piece
        if b"asked " not in answer[-40:]:
            raise SystemExit(f"{self._place[0]}: found no end of the answers, ended with {channel.recv_exit_status()}")
        return len(answer)

    def _logged_in(self) -> paramiko.Transport:
        link = socket.create_connection(self._place, timeout=30)
        link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        transport = paramiko.Transport(link)
        transport.connect(hostkey=self._trusted, username=USER, pkey=self._key)
        return transport

    def close(self) -> None:
        """Ends the connection."""
        if self._transport is not None:
            self._transport.close()


def known_hosts(path: Path) -> dict[str, paramiko.PKey]:
    """The hosts' own keys by address, as the lab wrote them."""
    found = paramiko.HostKeys(str(path))
    return {address: next(iter(found[address].values())) for address in found}


def main(rounds: str, key_path: str, folder: str, places: str) -> None:
    """The rounds, one or two."""
    key = paramiko.Ed25519Key.from_private_key_file(key_path)
    trusted = known_hosts(Path(key_path).parent / "known_hosts")
    pairs = [place.split("=") for place in places.split(",")]
    hosts = [Host(key, trusted, place, Path(folder, f"{name}.sh").read_bytes()) for name, place in pairs]
    marks, used = [time.perf_counter()], [time.process_time()]
    with ThreadPoolExecutor(len(hosts)) as pool:
        for _ in range(int(rounds)):
            sizes = list(pool.map(Host.ask, hosts))
            marks.append(time.perf_counter())
            used.append(time.process_time())
        for host in hosts:
            host.close()
    took = [after - before for before, after in pairwise(marks)]
    cpu = [after - before for before, after in pairwise(used)]
    said = {"imports": marks[0] - STARTED, "cold": took[0], "open": took[-1], "cpu": cpu, "bytes": sum(sizes)}
    print(json.dumps(said))


if __name__ == "__main__":
    main(*sys.argv[1:])
