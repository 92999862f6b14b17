"""GPUs against fixed facts: a host whose GPUs do not suffice takes no instance."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from deploys.components.ml.model import service_of
from deploys.components.service.deployment import Deployment
from deploys.components.service.files import deployment
from deploys.operations import gpus
from facts.files import FileState, FileStates
from facts.ml import GpuInfo, Gpus
from facts.service import Instance, Slots, SlotsState
from mainstay.errors import HostError
from mainstay.inventory import Environment
from mainstay.lab.overlay import HostOverlay, Overlay
from tests.plan.gpu_hosts import GPU, NONE, released, two
from tests.plan.harness import Planned, plan


@pytest.fixture
def env(tmp_path: Path) -> Environment:
    return released(tmp_path)


def ready(env: Environment, found: Gpus, state: SlotsState | None = None, need: int = 8192) -> Planned:
    wanted = deployment(env, env.hosts[GPU], service_of(env), lambda fact: found)
    facts: dict[type, Any] = {GpuInfo: found, Slots: state or SlotsState(), FileStates: standing(wanted)}
    return plan(gpus.ready, wanted, need, environment=env, member=env.hosts[GPU], facts=facts)


def standing(wanted: Deployment) -> dict[str, FileState]:
    parts = wanted.parts(str)
    return {
        wanted.env_path: FileState("root", wanted.user, 0o640, parts["environment"]),
        wanted.unit_path: FileState("root", "root", 0o644, parts["unit"]),
    }


def running(env: Environment) -> SlotsState:
    """The service runs as it should, on both GPUs."""
    parts = deployment(env, env.hosts[GPU], service_of(env), lambda fact: two(8192, 8192)).parts(str)
    return SlotsState("blue", "1.0.0", {"blue": {"parts": parts}}, {15002: Instance(True, True)})


@pytest.mark.covers("SC-13", "ML-01")
@pytest.mark.parametrize(
    ("found", "reason"),
    [
        (NONE, "GPUs: found none (nvidia-smi is not installed), expected 2"),
        (two(15000), "GPUs: found 1, expected 2 as the host declares (gpus)"),
        (two(15000, 15000, uuids="a?"), "GPU 1 (Tesla T4): found no UUID, expected its UUID and its minor number"),
        (two(8191, 15000), "GPU 0 (Tesla T4): found 8191 of 15360 MiB free, expected 8192 before an instance of ml"),
    ],
)
def test_a_host_whose_gpus_do_not_suffice_is_refused(env: Environment, found: Gpus, reason: str) -> None:
    with pytest.raises(HostError, match=r".*") as refused:
        ready(env, found)
    assert str(refused.value).startswith(f"{GPU}: {reason}")


def test_gpus_with_room_are_left_alone(env: Environment) -> None:
    planned = ready(env, two(8192, 1))
    assert (planned.commands, planned.notes) == ([], [])  # the second one has no instance yet


def test_memory_that_the_service_itself_uses_is_its_own(env: Environment) -> None:
    assert ready(env, two(100, 100), running(env)).commands == []


def test_a_lab_without_gpus_goes_on(env: Environment) -> None:
    lab = Overlay("lab", Path("/k"), Path("/h"), {"production/x": HostOverlay("198.18.0.11", 22, 12)}, ["gpu"])
    inside = replace(env, lab=lab)
    assert ready(inside, NONE).commands == []
    with pytest.raises(HostError):  # one whose nvidia-smi answers is held to it
        ready(inside, two(15000))
    with pytest.raises(HostError):
        ready(replace(env, lab=replace(lab, unproven=[])), NONE)
