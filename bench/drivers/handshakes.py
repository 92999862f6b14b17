"""`python -m bench.drivers.handshakes ADDRESS PORT COUNT`: milliseconds of TCP connections, one a line."""

from __future__ import annotations

import socket
import sys
import time


def main(address: str, port: str, count: str) -> None:
    """Connects so many times; ends with 1 where nothing answers within a second."""
    for _ in range(int(count)):
        started = time.perf_counter()
        try:
            socket.create_connection((address, int(port)), timeout=1).close()
        except OSError as error:
            sys.exit(f"{address}:{port}: found {error}, expected an answer")
        print(f"{(time.perf_counter() - started) * 1000:.2f}")


if __name__ == "__main__":
    main(*sys.argv[1:])
