"""Limits of the machine outside that its hosts share: raised while labs stand, and put back after the last one.

All hosts' root is one user to the kernel. Each systemd takes some ten inotify instances, and one that gets none boots
without sshd; the kernel's own limit of 128 is enough for about ten hosts.
"""

from __future__ import annotations

from pathlib import Path

from mainstay.lab.outside import write_atomically
from mainstay.lab.paths import INOTIFY

INSTANCES = Path("/proc/sys/fs/inotify/max_user_instances")
ENOUGH = 8192


def lift(limit: Path = INSTANCES, memory: Path = INOTIFY) -> None:
    """Raises the limit where it is below `ENOUGH`, and remembers it; the caller holds the machine's lock."""
    found = limit.read_text(encoding="ascii").strip()
    if int(found) >= ENOUGH:
        return
    if not memory.exists():
        write_atomically(memory, f"{found}\n")
    limit.write_text(str(ENOUGH), encoding="ascii")


def put_back(limit: Path = INSTANCES, memory: Path = INOTIFY) -> None:
    """Sets the limit to what it was before the first lab; nothing happens where it was not raised."""
    if memory.exists():
        limit.write_text(memory.read_text(encoding="ascii"), encoding="ascii")
        memory.unlink()
