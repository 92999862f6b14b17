"""A system whose hosts compute, as tests plan it: two GPUs a host, and what nvidia-smi would say of them."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path

from facts.ml import NO_PROGRAM, Gpus, parse_gpus
from mainstay.inventory import Artefact, Environment, Release, load
from tests.unit import inventories

SYSTEM, GPU = "spheroseg", "sph-gpu-1"
NAME = "checkpoint_epoch_9.pth.tar"
PATH = f"/opt/{SYSTEM}/ml/models/{NAME}"
NONE = parse_gpus([NO_PROGRAM])
project = partial(inventories.copied, system=SYSTEM)
messages = partial(inventories.messages, system=SYSTEM)


def two(*free: int, uuids: str = "ab") -> Gpus:
    """T4s with so much memory free (MiB); the driver met the last one first, so its device file is /dev/nvidia0."""
    told = [f"{at}, Tesla T4, 15360, 3, {mib}, 0, 535.183.01, GPU-{uuids[at]}" for at, mib in enumerate(free)]
    devices = [[f"<uuid>GPU-{uuids[at]}", f"<minor_number>{len(free) - 1 - at}"] for at in range(len(free))]
    return parse_gpus([*told, *(line for lines in devices for line in lines)])


def released(folder: Path) -> Environment:
    """Production, with a release of the service pinned."""
    artefact = Artefact(file="spheroseg-ml-1.0.0.tar", sha256="a" * 64)
    found = load(SYSTEM, "production", root=project(folder))
    return replace(found, releases={"ml": Release(version="1.0.0", artefacts={"1.0.0": artefact})})
