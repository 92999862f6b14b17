"""A slow line to the lab's hosts: a network namespace for whoever works, and frames that arrive late both ways.

The kernel at hand has no netem. Two TAP devices are the ends of a cable: one is `eth0` of the namespace, the other
hangs on the lab's bridge; a process of the bench carries each Ethernet frame across after half of the round trip, so
that TCP itself sees the delay (handshakes, slow start, acknowledgements). Names begin with the lab's own, so that
`lab down` takes away what a crash left.
"""

from __future__ import annotations

import fcntl
import os
import select
import struct
import subprocess
import sys
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from bench.errors import BenchError
from mainstay.lab import network
from mainstay.lab.addresses import Network
from mainstay.lab.outside import run
from mainstay.lab.proxy import PROXY_PORT

_TUNSETIFF, _IFF_TAP, _IFF_NO_PI = 0x400454CA, 0x0002, 0x1000
_FRAME = 1 << 16
# More than these wait only where somebody sends faster than the carrier reads: the oldest are dropped, as queues do.
MOST_WAITING = 20_000
_SETTLE_S = 5.0


class Line:
    """One direction: what goes in at a moment comes out `delay` later, in order. Pure; times in seconds."""

    def __init__(self, delay: float, most: int = MOST_WAITING) -> None:
        self._delay = delay
        self._waiting: deque[tuple[float, bytes]] = deque(maxlen=most)

    def take(self, frame: bytes, now: float) -> None:
        """A frame comes in."""
        self._waiting.append((now + self._delay, frame))

    def due(self, now: float) -> Iterator[bytes]:
        """The frames that have arrived by now."""
        while self._waiting and self._waiting[0][0] <= now:
            yield self._waiting.popleft()[1]

    @property
    def next(self) -> float:
        """When the next one arrives; infinity where none is on its way."""
        return self._waiting[0][0] if self._waiting else float("inf")


def carry(one: int, other: int, delay: float) -> None:
    """Carries frames between two open TAP devices until one of them goes away; `delay` is one way, in seconds."""
    lines = {one: (Line(delay), other), other: (Line(delay), one)}
    poll = select.poll()
    for device in lines:
        os.set_blocking(device, False)
        poll.register(device, select.POLLIN)
    while True:
        soonest = min(line.next for line, _ in lines.values())
        wait = None if soonest == float("inf") else max(0.0, soonest - time.monotonic()) * 1000
        # poll counts in milliseconds: the last of them is waited out with a short sleep, and never too long.
        ready = poll.poll(None if wait is None else int(wait))
        if not ready and wait is not None and wait % 1:
            time.sleep(max(0.0, soonest - time.monotonic()))
        for device, event in ready:
            if event & ~select.POLLIN:
                return
            line, _ = lines[device]
            with suppress(BlockingIOError):
                for _ in range(64):
                    frame = os.read(device, _FRAME)
                    if not frame:  # the other end is gone, and gevent's poll says only that there is something to read
                        return
                    line.take(frame, time.monotonic())
        for line, out in lines.values():
            for frame in line.due(time.monotonic()):
                with suppress(BlockingIOError, OSError):  # a full queue drops, as every cable does
                    os.write(out, frame)


def tap(name: str) -> int:
    """Opens (and so makes) a TAP device; it goes away with the descriptor.

    Raises:
        BenchError: the kernel has none.
    """
    try:
        device = os.open("/dev/net/tun", os.O_RDWR)
        fcntl.ioctl(device, _TUNSETIFF, struct.pack("16sH22x", name.encode(), _IFF_TAP | _IFF_NO_PI))
    except OSError as error:
        raise BenchError(
            f"/dev/net/tun: found {error.strerror}, expected TAP devices: the slow line is made of two"
        ) from error
    return device


@contextmanager
def slow_line(lab: Network, round_trip_ms: float) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """The name of a network namespace that is `round_trip_ms` away from the lab's hosts, and the process that carries.

    Raises:
        BenchError: it cannot be made, or does not come up within 5 s.
    """
    place = f"{lab.bridge}-wan"
    network.unplug(place)
    run(["ip", "netns", "add", place])
    words = [sys.executable, "-m", "bench.wan", str(lab.index), str(round_trip_ms)]
    carrier = subprocess.Popen(words, cwd=Path(__file__).parents[1], stdin=subprocess.DEVNULL)
    try:
        _wait_for(place, str(lab.gateway), carrier)
        yield place, carrier
    finally:
        carrier.terminate()
        carrier.wait()
        network.unplug(place)


def _wait_for(place: str, address: str, carrier: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + _SETTLE_S
    while time.monotonic() < deadline and carrier.poll() is None:
        if measured(place, address, 1):
            return
    raise BenchError(f"the slow line: found no answer from the lab's gateway ({address}) within {_SETTLE_S:g} s")


def measured(place: str, address: str, count: int = 20) -> list[float]:
    """Round trips from the namespace to the lab's gateway in milliseconds, by the first half of a TCP handshake."""
    words = ["ip", "netns", "exec", place, sys.executable, "-m", "bench.drivers.handshakes", address, str(PROXY_PORT)]
    said = subprocess.run(
        [*words, str(count)], cwd=Path(__file__).parents[1], capture_output=True, text=True, check=False
    )
    return [float(word) for word in said.stdout.split()] if said.returncode == 0 else []


def main(index: str, round_trip_ms: str) -> None:
    """Makes the cable and carries frames until it is told to stop."""
    lab = Network(int(index))
    place, near, far = f"{lab.bridge}-wan", f"{lab.bridge}-near", f"{lab.bridge}-far"
    here, there = tap(near), tap(far)
    with suppress(OSError):
        os.nice(-10)  # a carrier that waits for a processor would be a slower line
    address = lab.address(lab.subnet.num_addresses - 3)
    run(["ip", "link", "set", near, "netns", place, "name", "eth0"])
    inside = ["ip", "-n", place]
    run([*inside, "link", "set", "lo", "up"])
    run([*inside, "addr", "add", f"{address}/{lab.subnet.prefixlen}", "dev", "eth0"])
    run([*inside, "link", "set", "eth0", "txqueuelen", "10000", "up"])
    run(["ip", "link", "set", far, "txqueuelen", "10000", "master", lab.bridge, "up"])
    carry(here, there, float(round_trip_ms) / 2000)


if __name__ == "__main__":
    main(*sys.argv[1:])
