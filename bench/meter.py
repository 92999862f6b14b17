"""What a command costs: wall time, processor time of all its processes, their memory at the peak.

Each command runs in a control group of its own, so that what it leaves running in the background (Ansible's SSH
masters) is counted, and ended with it.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from bench.errors import BenchError

_GROUP = "mainstay-bench"
# Where SSH masters of contenders listen; they are killed with their run, and leave their sockets behind.
SOCKETS = Path("/run/mainstay-bench")
_SAMPLE_S = 0.2
# How much longer than a look the pause behind it is, at least: many processes are not to be slowed by being counted.
_PAUSES = 50
_ENTER = 'echo $$ > "$0"; exec "$@"'


@dataclass(frozen=True)
class Cost:
    """One command that ended.

    Attributes:
        seconds: wall time.
        cpu: processor seconds of all its processes.
        memory: bytes that its processes had to themselves at the peak, together (PSS, five looks a second at most).
    """

    seconds: float
    cpu: float
    memory: int
    code: int
    out: str
    err: str


def run(words: Sequence[str], env: Mapping[str, str], cwd: Path, limit: float, place: str = "") -> Cost:
    """Runs a command to its end.

    Args:
        limit: seconds; whatever of it still runs then is killed.
        place: a network namespace to run it in.

    Raises:
        BenchError: it took longer than `limit`.
    """
    argv = _in(place, words)
    with _group() as group:
        started = time.perf_counter()
        process = subprocess.Popen(
            ["sh", "-c", _ENTER, str(group / "cgroup.procs"), *argv],
            env=dict(env), cwd=cwd, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            text=True, errors="replace", start_new_session=True,
        )  # fmt: skip
        with peak(lambda: sum(_pss(member) for member in _members(group))) as most:
            try:
                out, err = process.communicate(timeout=limit)
            except subprocess.TimeoutExpired:
                raise BenchError(
                    f"{' '.join(words[:4])}: found it running after {limit:g} s, expected it to end"
                ) from None
        seconds = time.perf_counter() - started
        cpu = cpu_of(group)
    return Cost(seconds, cpu, most[0], process.returncode, out, err)


def before(words: Sequence[str], env: Mapping[str, str], cwd: Path, limit: float, place: str = "") -> int:
    """Runs a command unmeasured, and leaves alone what it leaves running; gives its exit code."""
    done = subprocess.run(
        _in(place, words), env=dict(env), cwd=cwd, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL, timeout=limit, check=False, start_new_session=True,
    )  # fmt: skip
    return done.returncode


def _in(place: str, words: Sequence[str]) -> list[str]:
    return ["ip", "netns", "exec", place, *words] if place else list(words)


def cpu_of(group: Path) -> float:
    """Processor seconds of a control group since it was made."""
    fields = dict(line.split() for line in (group / "cpu.stat").read_text().splitlines())
    return int(fields["usage_usec"]) / 1e6


def cpu_of_process(process: int) -> float:
    """Processor seconds of one running process; 0 where it has ended."""
    try:
        fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def root() -> Path:
    """Where the kernel's unified hierarchy of control groups is.

    Raises:
        BenchError: it is not mounted.
    """
    for row in Path("/proc/self/mounts").read_text().splitlines():
        if row.split(" ")[2] == "cgroup2":
            return Path(row.split(" ")[1])
    raise BenchError("found no cgroup2 file system, expected one: processor time is counted by it")


def clear() -> None:
    """Ends what an earlier run of the bench left, if it was killed in mid-run."""
    group = root() / _GROUP
    if group.is_dir():
        _end(group)
    shutil.rmtree(SOCKETS, ignore_errors=True)


@contextmanager
def _group() -> Iterator[Path]:
    clear()
    group = root() / _GROUP
    group.mkdir()
    SOCKETS.mkdir(mode=0o700)
    try:
        yield group
    finally:
        clear()


def _end(group: Path) -> None:
    """Kills all that is in a group, and removes it."""
    for _ in range(500):
        members = _members(group)
        for member in members:
            with suppress(ProcessLookupError):
                os.kill(member, signal.SIGKILL)
        with suppress(OSError):
            group.rmdir()
            return
        time.sleep(0.02)
    raise BenchError(f"{group}: found processes that do not end, expected none 10 s after SIGKILL")


def _members(group: Path) -> list[int]:
    with suppress(OSError):
        return [int(number) for number in (group / "cgroup.procs").read_text().split()]
    return []


@contextmanager
def peak(look: Callable[[], int], every_s: float = _SAMPLE_S) -> Iterator[list[int]]:
    """The most that `look` found, at least 0, asked again and again by a thread; the list holds it at the end."""
    most, over = [0], threading.Event()

    def watch() -> None:
        pause = every_s
        while not over.wait(pause):
            began = time.perf_counter()
            most[0] = max(most[0], look())
            pause = max(every_s, _PAUSES * (time.perf_counter() - began))

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield most
    finally:
        over.set()
        watcher.join()


def _pss(process: int) -> int:
    with suppress(OSError):
        for line in Path(f"/proc/{process}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) * 1024
    return 0
