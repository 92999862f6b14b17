"""A control group that counts the memory of what is started in it, whatever else runs on the machine, and bounds it.

Hosts of the lab enter groups of their own for their systemds' sake. Where the machine has another hierarchy for memory
(cgroup v1, and layouts of both), they stay in the group in which `lab up` ran; elsewhere they cannot be counted apart.
"""

from __future__ import annotations

import errno
import time
from dataclasses import dataclass
from pathlib import Path

HIERARCHY = Path("/sys/fs/cgroup/memory")
# The kernel counts a process that was killed as a member until the last of it is gone.
_LAST_MEMBER_S = 10.0


@dataclass(frozen=True)
class MemoryGroup:
    """A group of this name; call `make` first and `remove` when nothing runs in it any more."""

    name: str

    @property
    def folder(self) -> Path:
        """Where the kernel shows it."""
        return HIERARCHY / self.name

    @staticmethod
    def possible() -> bool:
        """Whether this machine counts the memory of hosts apart."""
        return (HIERARCHY / "memory.limit_in_bytes").exists()

    def make(self, limit: int) -> None:
        """A new group whose members never have more than `limit` bytes together, files of the page cache included."""
        if self.folder.exists():
            self.remove()  # a run that crashed left it
        self.folder.mkdir()
        (self.folder / "memory.limit_in_bytes").write_text(str(limit))

    def starting(self, *argv: str) -> list[str]:
        """The command line that runs `argv`, and all that it starts, in the group."""
        return ["sh", "-c", f'echo $$ > {self.folder}/cgroup.procs; exec "$@"', "sh", *argv]

    def held(self) -> int:
        """Bytes that its members hold now, without files of the page cache, which the kernel takes back on demand."""
        files = sum(self._row("memory.stat", name) for name in ("total_inactive_file", "total_active_file"))
        return self._number("memory.usage_in_bytes") - files

    def most(self) -> int:
        """The most bytes that its members ever had, files of the page cache included."""
        return self._number("memory.max_usage_in_bytes")

    def killed(self) -> int:
        """How many of them the kernel ended because they wanted more than the limit."""
        return self._row("memory.oom_control", "oom_kill")

    def remove(self) -> None:
        """Takes the group away."""
        deadline = time.monotonic() + _LAST_MEMBER_S
        while True:
            try:
                return self.folder.rmdir()
            except OSError as error:
                if error.errno != errno.EBUSY or time.monotonic() > deadline:
                    raise
                time.sleep(0.05)

    def _number(self, file: str) -> int:
        return int((self.folder / file).read_text())

    def _row(self, file: str, name: str) -> int:
        return int(dict(line.split() for line in (self.folder / file).read_text().splitlines())[name])
