"""Hosts that compute before any host: drop-ins, and what is refused offline."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest

from deploys.components.ml import deploy as ml_deploy
from deploys.components.ml.files import asked, files, surroundings
from deploys.components.ml.model import gpu_of, service_of
from deploys.components.service import deploy as service_deploy
from deploys.components.service.files import deployment
from facts.ml import GpuInfo, Gpus
from mainstay import offline
from mainstay.errors import InventoryError
from mainstay.files import FileSet
from mainstay.inventory import Environment, load
from tests.plan.gpu_hosts import GPU, NAME, NONE, PATH, SYSTEM, messages, project, released, two
from tests.plan.harness import on
from tests.unit.inventories import SHIPPED, Edit


@pytest.fixture
def env(tmp_path: Path) -> Environment:
    return released(tmp_path)


# Files


@pytest.mark.covers("ML-06")
def test_each_instance_of_both_slots_has_a_gpu_to_itself(env: Environment) -> None:
    service = service_of(env)
    assert [gpu_of(service, port) for port in (15002, 15003, 25002, 25003)] == [0, 1, 0, 1]
    found = {managed.path: managed.content for managed in files(env, env.hosts[GPU])}
    assert list(found) == [
        f"/etc/systemd/system/spheroseg-ml@{port}.service.d/50-ml.conf" for port in (15002, 15003, 25002, 25003)
    ]


@pytest.mark.covers("ML-06")
@pytest.mark.parametrize(("at", "uuid", "minor"), [(0, "GPU-a", 1), (1, "GPU-b", 0), (2, "GPU-a", 1), (3, "GPU-b", 0)])
def test_an_instance_sees_its_gpu_whatever_the_driver_counts(env: Environment, at: int, uuid: str, minor: int) -> None:
    """By a name that is no number, and by the device file that belongs to it: nvidia-smi counts the other way round."""
    lines = files(env, env.hosts[GPU], two(8192, 8192))[at].content.splitlines()
    assert [line for line in lines if "CUDA_VISIBLE" in line] == [f"Environment=CUDA_VISIBLE_DEVICES={uuid}"]
    opened = [line.removeprefix("DeviceAllow=") for line in lines if line.startswith("DeviceAllow=")]
    shared = ["/dev/nvidiactl rw", "/dev/nvidia-uvm rw", "/dev/nvidia-uvm-tools rw"]
    assert "DevicePolicy=closed" in lines and opened == [*shared, f"/dev/nvidia{minor} rw"]


def test_a_gpu_that_nobody_asked_about_stands_as_what_it_is(env: Environment) -> None:
    text = files(env, env.hosts[GPU])[3].content
    assert "CUDA_VISIBLE_DEVICES=<UUID of GPU 1>\n" in text
    assert "DeviceAllow=/dev/nvidia<minor number of GPU 1> rw\n" in text


def test_without_a_gpu_an_instance_sees_none(env: Environment) -> None:
    """In a lab, and there alone: any other host is refused."""
    lines = files(env, env.hosts[GPU], NONE)[0].content.splitlines()
    assert "Environment=CUDA_VISIBLE_DEVICES=" in lines and "DevicePolicy=closed" in lines
    assert not [line for line in lines if re.match(r"DeviceAllow=/dev/nvidia\d", line)]


@pytest.mark.covers("ML-02")
def test_an_instance_starts_on_the_pinned_model_alone(env: Environment) -> None:
    text = files(env, env.hosts[GPU])[0].content
    (digest,) = {line.rpartition(" ")[2] for line in text.splitlines() if line.startswith("ExecStartPre=")}
    assert f"ExecStartPre=/usr/local/lib/mainstay/model-check {PATH} {digest}" in text.splitlines()
    assert f"Environment=MODEL_PATH={PATH} MODEL_SHA256={digest}" in text.splitlines()


def test_on_a_cpu_no_device_is_opened(tmp_path: Path) -> None:
    edit = (
        "system.yaml",
        "    required: true                              # seed: nvidia-smi",
        "    required: false # (",
    )
    env = load(SYSTEM, "production", root=project(tmp_path, edit))
    assert asked(env, pytest.fail) is None
    text = files(env, env.hosts[GPU])[0].content
    assert "CUDA" not in text and "Device" not in text and "model-check" in text


def test_another_model_takes_the_service_over_its_other_slot(env: Environment, tmp_path: Path) -> None:
    service, member = service_of(env), env.hosts[GPU]
    one = deployment(env, member, service)
    digest = next(line for line in (SHIPPED / SYSTEM / "system.yaml").read_text().splitlines() if "sha256: " in line)
    other = load(SYSTEM, "production", root=project(tmp_path / "b", ("system.yaml", digest.split()[1], "b" * 64)))
    two = deployment(replace(other, releases=env.releases), member, service)
    assert [name for name, value in one.parts(str).items() if two.parts(str)[name] != value] == ["surroundings"]
    backend = env.services["backend"]
    assert surroundings(env, member, backend, pytest.fail) == ""


@pytest.mark.parametrize(
    ("now", "differs"),
    [
        (two(100, 100), []),
        (two(8192, 8192, uuids="ac"), ["surroundings"]),
        (replace(two(8192, 8192), found=[replace(gpu, minor=gpu.index) for gpu in two(1, 1).found]), ["surroundings"]),
    ],
)
def test_another_gpu_takes_the_service_over_its_other_slot(env: Environment, now: Gpus, differs: list[str]) -> None:
    """And one whose device file is another now; not one that is busy."""
    service, member = service_of(env), env.hosts[GPU]
    before, after = (deployment(env, member, service, {GpuInfo: told}.get) for told in (two(8192, 8192), now))
    assert [name for name, value in before.parts(str).items() if after.parts(str)[name] != value] == differs


def test_a_deploy_asks_the_host_which_gpus_it_has(env: Environment, monkeypatch: pytest.MonkeyPatch) -> None:
    """The drop-ins that it installs are those that the service's processes are compared by."""
    installed: list[FileSet] = []
    compared: list[str] = []
    monkeypatch.setattr(ml_deploy.operations, "installed", lambda wanted, name: installed.append(wanted))
    monkeypatch.setattr(ml_deploy.gpus, "ready", lambda wanted, need, name: compared.append(wanted.surroundings))
    monkeypatch.setattr(ml_deploy.models, "placed", lambda *wanted, name: None)
    monkeypatch.setattr(service_deploy.service_user, "present", lambda user, name: None)
    monkeypatch.setattr(service_deploy.slots, "deployed", lambda wanted, name: compared.append(wanted.surroundings))
    with on(env, env.hosts[GPU], {GpuInfo: two(8192, 8192)}) as host:
        monkeypatch.setattr(host, "loop", list, raising=False)
        ml_deploy.apply()
        service_deploy.apply()
    texts = [managed.content for managed in installed[0].files]
    assert "CUDA_VISIBLE_DEVICES=GPU-b" in texts[1]
    assert compared == ["".join(texts)] * 2


# What is refused offline


@pytest.mark.covers("SC-13")
@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (
            ("production.yaml", "gpus: 2", "gpus: 1"),
            "hosts.sph-gpu-1.gpus: found 1, and up to 2 instances of ml (instances.max), expected a GPU for each",
        ),
        (
            ("production.yaml", ", gpus: 2", ""),
            "hosts.sph-gpu-1.gpus: found 0, and up to 2 instances of ml (instances.max), expected a GPU for each",
        ),
        (
            ("system.yaml", "  service: ml                                   # seed", "  service: backend # seed"),
            "ml.service: found 'backend', expected a service of role ml that has processes",
        ),
        (
            ("system.yaml", f"    file: {NAME}", f"    key: models/{NAME}\n    file: {NAME}"),
            "ml.model: found both file and key, expected one place that the model comes from",
        ),
        (
            ("system.yaml", f"    file: {NAME} ", "    # "),
            "ml.model: found neither file nor key, expected one place that the model comes from",
        ),
        (
            ("system.yaml", "    sha256: ", "    sha256: sha256-"),
            "ml.model.sha256: ",
        ),
    ],
)
def test_what_cannot_be_is_refused_before_any_host(tmp_path: Path, edit: Edit, message: str) -> None:
    found = messages(project(tmp_path, edit))
    assert any(line.startswith(message) for line in found), found


def test_a_model_in_a_store_needs_a_bucket(tmp_path: Path) -> None:
    from_store = ("system.yaml", f"    file: {NAME}", f"    key: models/{NAME}")
    assert messages(project(tmp_path / "a", from_store)) == []
    without = ("production.yaml", "storage:\n  bucket: spheroseg-production-backups", "rollout: {}\n#")
    assert "storage.bucket: found none, expected the bucket that ml.model.key is in" in messages(
        project(tmp_path / "b", from_store, without)
    )


@pytest.mark.covers("ML-02")
def test_a_model_on_this_machine_that_is_another_one_is_refused(env: Environment) -> None:
    bare = replace(env, releases={})
    offline.check(bare, [GPU])  # none is here: a host that has it needs it from nobody
    path = env.root / "artefacts" / NAME
    path.parent.mkdir()
    path.write_bytes(b"another")
    with pytest.raises(InventoryError) as refused:
        offline.check(bare, [GPU])
    (problem,) = refused.value.problems
    assert problem.key == "ml.model.sha256" and problem.found.startswith(f"artefacts/{NAME} with SHA-256 ")
