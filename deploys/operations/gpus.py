"""GPUs: a host is refused whose GPUs are not what the inventory says, or are too full for one more instance."""

from __future__ import annotations

from collections.abc import Generator

from pyinfra import host
from pyinfra.api import operation

from deploys.components.service.deployment import Deployment
from deploys.operations import slots
from facts.ml import NO_PROGRAM, GpuInfo, Gpus
from facts.service import Slots
from mainstay import context
from mainstay.errors import HostError
from mainstay.inventory import Environment

UNPROVEN = "gpu"


@operation()
def ready(wanted: Deployment, min_free_mib: int) -> Generator[str, None, None]:
    """Changes nothing: fails where an instance of `wanted` would start without a GPU, or on one that is too full.

    Args:
        wanted: the service as it should run on the host; instance N of a slot has GPU N.
        min_free_mib: free memory of a GPU, in MiB, before an instance starts on it. One that runs already has taken its
            own, so it is asked only where new ones will start: for them, beside the old ones.

    Raises:
        HostError: with the GPU, what was found and what was expected.
    """
    environment, member = context.current()
    found = host.get_fact(GpuInfo)
    if is_unproven(environment, found):
        host.noop("this lab has no GPU: not proven")
        return
    fault = missing(found, member.gpus)
    if not fault:
        state = host.get_fact(Slots, base=wanted.base, unit=wanted.unit, nginx=wanted.nginx_path)
        if slots.reasons(wanted, state, environment.secrets.resolve):
            fault = too_full(found, len(wanted.ports["blue"]), min_free_mib, wanted.service)
    if fault:
        raise HostError(member.name, fault)
    host.noop(f"{len(found.found)} GPUs, as declared")
    yield from ()


def is_unproven(environment: Environment, found: Gpus) -> bool:
    """Whether the environment stands in a lab without GPUs; one in which nvidia-smi answers is held to it."""
    return environment.lab is not None and UNPROVEN in environment.lab.unproven and found.reason == NO_PROGRAM


def missing(found: Gpus, declared: int) -> str:
    """Fewer GPUs than the host declares, or one that no instance can be given, in one sentence; empty where all are."""
    if len(found.found) < declared:
        count = f"{len(found.found)}" if found.found else f"none ({found.reason})"
        return f"GPUs: found {count}, expected {declared} as the host declares (gpus)"
    for gpu in found.found[:declared]:
        lacks = "no UUID" if not gpu.uuid else "no minor number" if gpu.minor is None else ""
        if lacks:
            expected = "its UUID and its minor number, which nvidia-smi -q tells"
            return f"GPU {gpu.index} ({gpu.name}): found {lacks}, expected {expected}"
    return ""


def too_full(found: Gpus, instances: int, min_free_mib: int, service: str) -> str:
    """The first GPU that has no room for the instance that would start on it; empty where all have."""
    for gpu in found.found[:instances]:
        if gpu.free_mib is None:
            return (
                f"GPU {gpu.index} ({gpu.name}): nvidia-smi does not tell its free memory, expected {min_free_mib} MiB"
            )
        if gpu.free_mib < min_free_mib:
            total = f" of {gpu.total_mib}" if gpu.total_mib is not None else ""
            return (
                f"GPU {gpu.index} ({gpu.name}): found {gpu.free_mib}{total} MiB free, expected {min_free_mib} before "
                f"an instance of {service} starts there (ml.gpu.min_free_mib); nothing was changed"
            )
    return ""
