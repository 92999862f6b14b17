"""Settings of a service's runtime that follow from what systemd lets an instance use (RT-01, RT-02, RT-04, DF-81).

Left to themselves, Go and Node look at the whole host: too many threads are throttled by CPUQuota, and a heap that
grows past MemoryMax is killed instead of collected.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mainstay.inventory.rules import number_of
from mainstay.inventory.services import Service

MIB = 1024**2
GO_MEMORY_PCT = 90
NODE_HEAP_PCT = 75  # besides its heap, Node holds buffers, code and stacks
THREADS_A_CORE = 4  # libuv's own number
_GO_SIZE = re.compile(r"([0-9]{1,15})(B|KiB|MiB|GiB|TiB)?")
_GO_FACTOR = {None: 1, "B": 1, "KiB": 1024, "MiB": MIB, "GiB": 1024**3, "TiB": 1024**4}
_HEAP = re.compile(r"(?:^|\s)--max[-_]old[-_]space[-_]size=([0-9]{1,9})(?=\s|$)")
_NODE_DEBUG = re.compile(r"--(inspect|prof|expose[-_]gc|trace[-_]gc)[^\s=]*")


@dataclass(frozen=True)
class Share:
    """What one instance has of its host: processors to run on at once, bytes, and the processes that share them."""

    cores: int
    memory: int
    workers: int

    @property
    def go_memory(self) -> int:
        """GOMEMLIMIT in MiB: below MemoryMax, so that Go collects before systemd kills."""
        return max(1, self.memory * GO_MEMORY_PCT // 100 // MIB)

    @property
    def node_heap(self) -> int:
        """The old space of each of Node's processes, in MiB."""
        return max(1, self.memory * NODE_HEAP_PCT // 100 // self.workers // MIB)

    @property
    def threads(self) -> int:
        """The threads of libuv's pool."""
        return THREADS_A_CORE * self.cores


def share(service: Service, cores: int) -> Share | None:
    """What one instance has on a host with so many cores; None for a static service, which has no processes."""
    if service.kind == "static" or service.limits is None:
        return None
    quota = service.limits.cpu_quota_pct
    wanted = cores if quota is None else -(-quota // 100)
    return Share(max(1, min(wanted, cores)), service.limits.memory_max, service.workers)


def derived(service: Service, cores: int) -> dict[str, str]:
    """The variables that the service gets unless its `env_vars` say otherwise.

    Args:
        service: what runs.
        cores: of the host that it runs on.
    """
    of = share(service, cores)
    if of is None:
        return {}
    if service.kind == "go":
        return {"GOMAXPROCS": str(of.cores), "GOMEMLIMIT": f"{of.go_memory}MiB"}
    if service.kind == "node":
        heap = f"--max-old-space-size={of.node_heap}"
        return {"NODE_ENV": "production", "NODE_OPTIONS": heap, "UV_THREADPOOL_SIZE": str(of.threads)}
    # uvicorn and gunicorn read it where their command line does not say how many.
    return {} if "{workers}" in (service.exec or "") else {"WEB_CONCURRENCY": str(of.workers)}


def faults(service: Service, name: str, value: Any, cores: Sequence[int], *, production: bool) -> Iterator[str]:
    """What was expected of a runtime's variable that the inventory sets itself; nothing for a good value.

    Args:
        service: whose variable it is.
        name: of the variable.
        value: as the inventory has it.
        cores: of each host that the service runs on.
        production: where what is for debugging has no place.
    """
    rule = _RULES.get(service.kind, {}).get(name)
    of = share(service, min(cores, default=1))
    if rule is not None and of is not None:
        yield from rule(of, value, production)


def _at_most(limit: Callable[[Share], int], reason: str) -> Callable[[Share, Any, bool], Iterator[str]]:
    def rule(of: Share, value: Any, production: bool) -> Iterator[str]:
        number = number_of(value)
        if not isinstance(number, int) or not 1 <= number <= limit(of):
            yield f"a whole number from 1 to {limit(of)}, {reason}"

    return rule


def _go_memory(of: Share, value: Any, production: bool) -> Iterator[str]:
    match = _GO_SIZE.fullmatch(str(value))
    if match is None or not 1 <= int(match[1]) * _GO_FACTOR[match[2]] <= of.go_memory * MIB:
        yield f"a size in Go's own units, at most {of.go_memory}MiB ({GO_MEMORY_PCT} percent of limits.memory_max)"


def _go_debug(of: Share, value: Any, production: bool) -> Iterator[str]:
    if production and value != "":
        yield "no such variable in production: it writes a line for each collection (DF-81)"


def _node_env(of: Share, value: Any, production: bool) -> Iterator[str]:
    if value != "production":
        yield "production, in staging too: what staging proves is what production runs"


def _node_options(of: Share, value: Any, production: bool) -> Iterator[str]:
    text = str(value)
    sizes = [int(size) for size in _HEAP.findall(text)]
    if not sizes or not 1 <= sizes[-1] <= of.node_heap:
        yield (
            f"--max-old-space-size among them, from 1 to {of.node_heap} "
            f"({NODE_HEAP_PCT} percent of limits.memory_max in MiB, for each worker)"
        )
    if production and (match := _NODE_DEBUG.search(text)):
        yield f"no {match[0]} in production"


def _flask_debug(of: Share, value: Any, production: bool) -> Iterator[str]:
    if production and str(value).lower() not in ("0", "false", "no", ""):
        yield "0 in production: Flask's debugger runs what its visitors type (DF-77)"


def _flask_env(of: Share, value: Any, production: bool) -> Iterator[str]:
    if production and value == "development":
        yield "another value in production: this one turns Flask's debugger on (DF-77)"


_CORES = _at_most(lambda of: of.cores, "the cores that limits.cpu_quota_pct and the host give an instance")
_RULES: Mapping[str, Mapping[str, Callable[[Share, Any, bool], Iterator[str]]]] = {
    "go": {"GOMAXPROCS": _CORES, "GOMEMLIMIT": _go_memory, "GODEBUG": _go_debug},
    "node": {
        "NODE_ENV": _node_env,
        "NODE_OPTIONS": _node_options,
        "UV_THREADPOOL_SIZE": _at_most(lambda of: of.threads, f"{THREADS_A_CORE} for each core of an instance"),
    },
    "python": {
        "WEB_CONCURRENCY": _at_most(lambda of: of.workers, "the service's workers"),
        "FLASK_DEBUG": _flask_debug,
        "FLASK_ENV": _flask_env,
    },
}
