"""`python -m tests.lab.sampler`: looks at every process of this machine, over and over, until it is stopped.

Hosts of the lab are processes of this machine, so one sampler sees theirs and the laptop's. What it looks for comes by
standard input, a line each: its own arguments must not hold it. Prints a line for each kind of process that shows it:
`cmdline` or `environ`, the user that it runs as, its name.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

PAUSE_S = 0.01


def main() -> None:
    """Samples until standard output is closed or a signal ends it."""
    prefixes = [line.strip().encode() for line in sys.stdin if line.strip()]
    seen: set[tuple[str, str, str]] = set()
    while True:
        for entry in os.scandir("/proc"):
            if entry.name.isdecimal() and int(entry.name) != os.getpid():
                _look(Path(entry.path), prefixes, seen)
        time.sleep(PAUSE_S)


def _look(process: Path, prefixes: list[bytes], seen: set[tuple[str, str, str]]) -> None:
    for where in ("cmdline", "environ"):
        try:
            data = (process / where).read_bytes()
            if not any(prefix in data for prefix in prefixes):
                continue
            owner, command = str(process.stat().st_uid), (process / "comm").read_text().strip()
        except OSError:
            continue  # it ended while we looked
        if (where, owner, command) not in seen:
            seen.add((where, owner, command))
            print(where, owner, command, flush=True)


if __name__ == "__main__":
    main()
