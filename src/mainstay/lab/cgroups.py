"""Control groups of hosts, where no systemd runs outside.

systemd-nspawn lets a systemd outside make a scope for each host. Without one, hosts that were started from the same
group would share it, and their systemds would take each other's units for their own; so each gets groups of its own.
"""

from __future__ import annotations

import errno
import os
import time
from pathlib import Path

_PARENT = "mainstay-lab"
# The kernel counts a process that was killed as a member until the last of it is gone, a moment after it left /proc.
_LAST_MEMBER_S = 10.0


def unit_arguments() -> list[str]:
    """What systemd-nspawn must be told where no systemd outside could make a scope for it."""
    return [] if _systemd_outside() else ["--keep-unit"]


def enter_files(link: str) -> list[Path]:
    """The files that a process writes its number into to enter the host's groups; made when they are missing."""
    files = []
    for folder in _folders(link):
        folder.mkdir(parents=True, exist_ok=True)
        files.append(folder / "cgroup.procs")
    return files


def remove(link: str) -> None:
    """Removes the groups of a host that has stopped, and their parent after the last of them."""
    deadline = time.monotonic() + _LAST_MEMBER_S
    for folder in _folders(link):
        for path, _, _ in os.walk(folder, topdown=False):
            while not _removed(Path(path)) and time.monotonic() < deadline:
                time.sleep(0.02)
        _removed(folder.parent)


def sweep(bridge: str) -> None:
    """Removes what a `lab down` that was killed left of hosts on this bridge; none of them runs any more."""
    for link in {folder.name for root in _hierarchies() for folder in (root / _PARENT).glob(f"{bridge}-*")}:
        remove(link)


def _folders(link: str) -> list[Path]:
    return [] if _systemd_outside() else [root / _PARENT / link for root in _hierarchies()]


def _systemd_outside() -> bool:
    return Path("/run/systemd/system").is_dir()


def _hierarchies() -> list[Path]:
    """Where systemd keeps its own groups: the unified hierarchy, and the named one of a hybrid layout."""
    rows = [line.split(" ") for line in Path("/proc/self/mounts").read_text(encoding="utf-8").splitlines()]
    named = [Path(row[1]) for row in rows if row[2] == "cgroup" and "name=systemd" in row[3].split(",")]
    return named + [Path(row[1]) for row in rows if row[2] == "cgroup2"]


def _removed(folder: Path) -> bool:
    """Whether it is gone; False while a process or another group is in it."""
    try:
        folder.rmdir()
    except OSError as error:
        return error.errno == errno.ENOENT
    return True
