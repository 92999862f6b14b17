"""How much memory this machine has in use: what a lab costs."""

from __future__ import annotations

from pathlib import Path

_MEMINFO = Path("/proc/meminfo")


def in_use() -> int:
    """Bytes that nobody else could have: all but what is free or what the kernel would give back; 0 off Linux."""
    if not _MEMINFO.exists():
        return 0
    fields = dict(line.split(":", 1) for line in _MEMINFO.read_text().splitlines())
    total, left = (int(fields[name].split()[0]) for name in ("MemTotal", "MemAvailable"))
    return (total - left) << 10
