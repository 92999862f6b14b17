"""PostgreSQL's settings, computed from what the inventory declares of the host and from nothing else."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

from mainstay.tuning import Setting

__all__ = ["Setting", "overridden", "tuning"]

KIB, MIB, GIB = 1024, 1024**2, 1024**3

# PostgreSQL's defaults that the sums below count with; both are left as they are.
AUTOVACUUM_WORKERS = 3
HASH_MEM_MULTIPLIER = 2


# What a rule reads.
MEMORY, CORES, DISK = ("memory",), ("cores",), ("disk",)
CONNECTIONS, STORAGE = ("postgres.max_connections",), ("postgres.storage",)


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
    why = "postgres.max_connections (PT-01)"
    return [
        Setting("max_connections", str(max_connections), why, "inventory", CONNECTIONS),
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
        Setting("shared_buffers", size(shared_buffers(memory)), "a quarter of memory (PT-02)", of=MEMORY),
        Setting(
            "effective_cache_size",
            size(cache),
            "three quarters of memory: with the page cache (PT-03)",
            of=MEMORY,
        ),
        Setting(
            "work_mem",
            size(work_mem(memory, cores, max_connections)),
            f"half of memory over {max_connections} connections and {cores} workers, hashes take twice this",
            of=MEMORY + CORES + CONNECTIONS,
        ),
        Setting(
            "maintenance_work_mem",
            size(maintenance_work_mem(memory)),
            f"1/32 of memory: {AUTOVACUUM_WORKERS} autovacuum workers may take it at once (PT-04)",
            of=MEMORY,
        ),
    ]


def _parallel(cores: int) -> list[Setting]:
    gather = min(cores // 2, 4)
    rules = [
        ("max_worker_processes", max(cores, 8), "one a core, PostgreSQL's own 8 at least"),
        ("max_parallel_workers", cores, "one a core"),
        ("max_parallel_workers_per_gather", gather, "half of the cores, so one query leaves room"),
        ("max_parallel_maintenance_workers", max(gather, 1), "index builds: half of the cores"),
    ]
    return [Setting(name, str(value), reason, of=CORES) for name, value, reason in rules]


def _wal(memory: int, disk: int) -> list[Setting]:
    largest = max(min(disk // 20, 16 * GIB) // MIB, 256) * MIB
    least = max(largest // 4 // MIB, 80) * MIB
    buffers = max(min(shared_buffers(memory) // 32, 16 * MIB) // KIB, 32) * KIB
    spread = "writes spread over the interval; pinned (PT-07)"
    return [
        Setting("wal_buffers", size(buffers), "1/32 of shared_buffers, one segment (16 MB) at most (PT-06)", of=MEMORY),
        Setting("min_wal_size", size(least), "a quarter of max_wal_size: segments kept for reuse", of=DISK),
        Setting("max_wal_size", size(largest), "a twentieth of the disk, 16 GB at most", of=DISK),
        Setting("checkpoint_completion_target", "0.9", spread, "fixed"),
    ]


def _planner(storage: Literal["ssd", "hdd"]) -> list[Setting]:
    random, concurrency = ("1.1", "200") if storage == "ssd" else ("4.0", "2")
    return [
        Setting("random_page_cost", random, f"postgres.storage is {storage} (PT-05)", of=STORAGE),
        Setting("seq_page_cost", "1.0", "what the other costs are measured in; pinned (PT-05)", "fixed"),
        Setting("effective_io_concurrency", concurrency, f"postgres.storage is {storage}", of=STORAGE),
    ]


def kept_for_slots(disk: int) -> Setting:
    """How much a slot may hold back for its replica before it is given up: a lost one must not fill the disk."""
    value = max(disk // 5 // MIB, 1024) * MIB
    return Setting("max_slot_wal_keep_size", size(value), "a fifth of the disk: what a lost replica may cost", of=DISK)


def at_least(mine: list[Setting], theirs: list[Setting], names: Iterable[str], primary: str) -> list[Setting]:
    """A replica's settings, those of `names` no lower than its primary's: it would stop following else (RP-05)."""
    least = {setting.name: setting for setting in theirs if setting.name in names}
    reason = f"as {primary} has it: a replica may not have less (RP-05)"
    return [
        Setting(s.name, least[s.name].value, reason, of=s.of)
        if s.name in least and int(least[s.name].value) > int(s.value)
        else s
        for s in mine
    ]


def overridden(computed: list[Setting], own: dict[str, object]) -> list[Setting]:
    """The computed settings with the inventory's own in their places, those that nothing computes at the end."""
    names = {setting.name for setting in computed}
    changed = [_instead_of(setting, own[setting.name]) if setting.name in own else setting for setting in computed]
    added = [
        Setting(name, text_of(value), "postgres.settings", "inventory", (f"postgres.settings.{name}",))
        for name, value in own.items()
        if name not in names
    ]
    return changed + added


def _instead_of(computed: Setting, own: object) -> Setting:
    reason, of = f"postgres.settings; computed: {computed.value}", (f"postgres.settings.{computed.name}",)
    return Setting(computed.name, text_of(own), reason, "inventory", of, computed)


def text_of(value: object) -> str:
    """A YAML scalar as PostgreSQL's configuration writes it."""
    if isinstance(value, bool):
        return "on" if value else "off"
    return str(value)
