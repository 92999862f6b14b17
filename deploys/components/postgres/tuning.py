"""PostgreSQL's settings, computed from what the inventory declares of the host and from nothing else."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

KIB, MIB, GIB = 1024, 1024**2, 1024**3

# PostgreSQL's defaults that the sums below count with; both are left as they are.
AUTOVACUUM_WORKERS = 3
HASH_MEM_MULTIPLIER = 2


@dataclass(frozen=True)
class Setting:
    """One line of `50-tuning.conf`: the value as PostgreSQL reads it, and why it is that one."""

    name: str
    value: str
    reason: str


def tuning(
    memory: int, cores: int, disk: int, max_connections: int, storage: Literal["ssd", "hdd"] = "ssd"
) -> list[Setting]:
    """What a host that does nothing else gives to PostgreSQL.

    Of the memory, a quarter is PostgreSQL's own cache, up to half is sorts and hashes of all connections at once, a
    tenth is vacuum; the rest stays for the system, whose page cache is the second half of `effective_cache_size`.

    Args:
        memory: bytes of the host, as declared.
        cores: of the host.
        disk: bytes of the host's disk.
        max_connections: connections at once.
        storage: what the disk is made of.
    """
    return [
        Setting("max_connections", str(max_connections), "postgres.max_connections (PT-01)"),
        *_memory(memory, cores, max_connections),
        *_parallel(cores),
        *_wal(memory, disk),
        *_planner(storage),
    ]


def shared_buffers(memory: int) -> int:
    """Bytes: a quarter of the host's memory, in whole MiB."""
    return max(memory // 4 // MIB, 1) * MIB


def work_mem(memory: int, cores: int, max_connections: int) -> int:
    """Bytes for one sort, so that every connection and parallel worker may hash at once within half of the memory."""
    processes = max_connections + max(cores, 1)
    share = memory // 2 // processes // HASH_MEM_MULTIPLIER
    unit = MIB if share >= MIB else KIB
    # 64 kB is the least that PostgreSQL accepts.
    return max(min(share, GIB) // unit * unit, 64 * KIB)


def maintenance_work_mem(memory: int) -> int:
    """Bytes for one vacuum or index build: each autovacuum worker may take as much; above 1 GiB vacuum has no use."""
    return max(min(memory // 32, GIB) // MIB, 1) * MIB


def size(value: int) -> str:
    """Bytes as PostgreSQL writes them, in the largest unit that divides them."""
    for unit, factor in (("GB", GIB), ("MB", MIB), ("kB", KIB)):
        if value % factor == 0 and value >= factor:
            return f"{value // factor}{unit}"
    return f"{value}B"


def _memory(memory: int, cores: int, max_connections: int) -> list[Setting]:
    cache = max(memory * 3 // 4 // MIB, 1) * MIB
    return [
        Setting("shared_buffers", size(shared_buffers(memory)), "a quarter of memory (PT-02)"),
        Setting("effective_cache_size", size(cache), "three quarters of memory: with the page cache (PT-03)"),
        Setting(
            "work_mem",
            size(work_mem(memory, cores, max_connections)),
            f"half of memory over {max_connections} connections and {cores} workers, hashes take twice this",
        ),
        Setting(
            "maintenance_work_mem",
            size(maintenance_work_mem(memory)),
            f"1/32 of memory: {AUTOVACUUM_WORKERS} autovacuum workers may take it at once (PT-04)",
        ),
    ]


def _parallel(cores: int) -> list[Setting]:
    gather = min(cores // 2, 4)
    return [
        Setting("max_worker_processes", str(max(cores, 8)), "one a core, PostgreSQL's own 8 at least"),
        Setting("max_parallel_workers", str(cores), "one a core"),
        Setting("max_parallel_workers_per_gather", str(gather), "half of the cores, so one query leaves room"),
        Setting("max_parallel_maintenance_workers", str(max(gather, 1)), "index builds: half of the cores"),
    ]


def _wal(memory: int, disk: int) -> list[Setting]:
    largest = max(min(disk // 20, 16 * GIB) // MIB, 256) * MIB
    least = max(largest // 4 // MIB, 80) * MIB
    buffers = max(min(shared_buffers(memory) // 32, 16 * MIB) // KIB, 32) * KIB
    return [
        Setting("wal_buffers", size(buffers), "1/32 of shared_buffers, one segment (16 MB) at most (PT-06)"),
        Setting("min_wal_size", size(least), "a quarter of max_wal_size: segments kept for reuse"),
        Setting("max_wal_size", size(largest), "a twentieth of the disk, 16 GB at most"),
        Setting("checkpoint_completion_target", "0.9", "writes spread over the interval; pinned (PT-07)"),
    ]


def _planner(storage: Literal["ssd", "hdd"]) -> list[Setting]:
    random, concurrency = ("1.1", "200") if storage == "ssd" else ("4.0", "2")
    return [
        Setting("random_page_cost", random, f"postgres.storage is {storage} (PT-05)"),
        Setting("seq_page_cost", "1.0", "what the other costs are measured in; pinned (PT-05)"),
        Setting("effective_io_concurrency", concurrency, f"postgres.storage is {storage}"),
    ]


def overridden(computed: list[Setting], own: dict[str, object]) -> list[Setting]:
    """The computed settings with the inventory's own in their places, those that nothing computes at the end."""
    names = {setting.name for setting in computed}
    changed = [
        Setting(s.name, text_of(own[s.name]), f"postgres.settings; computed: {s.value}") if s.name in own else s
        for s in computed
    ]
    added = [Setting(name, text_of(value), "postgres.settings") for name, value in own.items() if name not in names]
    return changed + added


def text_of(value: object) -> str:
    """A YAML scalar as PostgreSQL's configuration writes it."""
    if isinstance(value, bool):
        return "on" if value else "off"
    return str(value)
