"""Control groups of hosts, where no systemd runs outside.

systemd-nspawn lets a systemd outside make a scope for each host. Without one, hosts that were started from the same
group would share it, and their systemds would take each other's units for their own; so each gets groups of its own.
"""

from __future__ import annotations

import os
from pathlib import Path

_PARENT = "mainstay-lab"


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
    for folder in _folders(link):
        for path, _, _ in os.walk(folder, topdown=False):
            _remove(Path(path))
        _remove(folder.parent)


def _folders(link: str) -> list[Path]:
    return [] if _systemd_outside() else [root / _PARENT / link for root in _hierarchies()]


def _systemd_outside() -> bool:
    return Path("/run/systemd/system").is_dir()


def _hierarchies() -> list[Path]:
    """Where systemd keeps its own groups: the unified hierarchy, and the named one of a hybrid layout."""
    rows = [line.split(" ") for line in Path("/proc/self/mounts").read_text(encoding="utf-8").splitlines()]
    named = [Path(row[1]) for row in rows if row[2] == "cgroup" and "name=systemd" in row[3].split(",")]
    return named + [Path(row[1]) for row in rows if row[2] == "cgroup2"]


def _remove(folder: Path) -> None:
    try:
        folder.rmdir()
    except OSError:
        pass  # another host is in it, or it is not there
