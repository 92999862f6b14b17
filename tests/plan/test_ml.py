"""Hosts that compute before any host: drop-ins, refusals offline, what is sent where a model or a GPU is not right."""

from __future__ import annotations

import hashlib
import re
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from deploys.components.ml import deploy as ml_deploy
from deploys.components.ml.files import asked, files, surroundings
from deploys.components.ml.model import gpu_of, service_of
from deploys.components.service import deploy as service_deploy
from deploys.components.service.deployment import Deployment
from deploys.components.service.files import deployment
from deploys.operations import gpus, models
from facts.files import FileState, FileStates
from facts.ml import NO_PROGRAM, GpuInfo, Gpus, ModelFile, ModelState, parse_gpus
from facts.service import Instance, Slots, SlotsState
from mainstay import offline
from mainstay.errors import HostError, InventoryError, UsageError
from mainstay.files import FileSet
from mainstay.inventory import Artefact, Environment, Release, load
from mainstay.lab.overlay import HostOverlay, Overlay
from tests.plan.harness import Planned, on, plan
from tests.unit.inventories import SHIPPED, Edit

SYSTEM, GPU = "spheroseg", "sph-gpu-1"
NAME = "checkpoint_epoch_9.pth.tar"
PATH = f"/opt/{SYSTEM}/ml/models/{NAME}"
NONE = parse_gpus([NO_PROGRAM])


def two(*free: int, uuids: str = "ab") -> Gpus:
    """T4s with so much memory free (MiB); the driver met the last one first, so its device file is /dev/nvidia0."""
    told = [f"{at}, Tesla T4, 15360, 3, {mib}, 0, 535.183.01, GPU-{uuids[at]}" for at, mib in enumerate(free)]
    devices = [[f"<uuid>GPU-{uuids[at]}", f"<minor_number>{len(free) - 1 - at}"] for at in range(len(free))]
    return parse_gpus([*told, *(line for lines in devices for line in lines)])


def copied(folder: Path, *edits: Edit) -> Path:
    target = folder / "inventories" / SYSTEM
    target.mkdir(parents=True)
    for path in (SHIPPED / SYSTEM).glob("*.yaml"):
        shutil.copy(path, target)
    (target / "releases.yaml").write_text("releases: {}\n")
    for file, old, new in edits:
        path = target / file
        text = path.read_text(encoding="utf-8")
        assert old in text, f"{file} no longer holds {old!r}"
        path.write_text(text.replace(old, new, 1), encoding="utf-8")
    return folder


def messages(root: Path, env: str = "production") -> list[str]:
    try:
        load(SYSTEM, env, root=root)
    except InventoryError as error:
        return [str(problem).removeprefix(f"{problem.file}: ") for problem in error.problems]
    return []


@pytest.fixture
def env(tmp_path: Path) -> Environment:
    """Production, with a release of the service pinned."""
    artefact = Artefact(file="spheroseg-ml-1.0.0.tar", sha256="a" * 64)
    found = load(SYSTEM, "production", root=copied(tmp_path))
    return replace(found, releases={"ml": Release(version="1.0.0", artefacts={"1.0.0": artefact})})


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
    env = load(SYSTEM, "production", root=copied(tmp_path, edit))
    assert asked(env, pytest.fail) is None
    text = files(env, env.hosts[GPU])[0].content
    assert "CUDA" not in text and "Device" not in text and "model-check" in text


def test_another_model_takes_the_service_over_its_other_slot(env: Environment, tmp_path: Path) -> None:
    service, member = service_of(env), env.hosts[GPU]
    one = deployment(env, member, service)
    digest = next(line for line in (SHIPPED / SYSTEM / "system.yaml").read_text().splitlines() if "sha256: " in line)
    other = load(SYSTEM, "production", root=copied(tmp_path / "b", ("system.yaml", digest.split()[1], "b" * 64)))
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
    found = messages(copied(tmp_path, edit))
    assert any(line.startswith(message) for line in found), found


def test_a_model_in_a_store_needs_a_bucket(tmp_path: Path) -> None:
    from_store = ("system.yaml", f"    file: {NAME}", f"    key: models/{NAME}")
    assert messages(copied(tmp_path / "a", from_store)) == []
    without = ("production.yaml", "storage:\n  bucket: spheroseg-production-backups", "rollout: {}\n#")
    assert "storage.bucket: found none, expected the bucket that ml.model.key is in" in messages(
        copied(tmp_path / "b", from_store, without)
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


# GPUs against fixed facts


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


# Models against fixed facts


@pytest.fixture
def source(tmp_path: Path) -> Iterator[models.Source]:
    path = tmp_path / "artefacts" / NAME
    path.parent.mkdir()
    path.write_bytes(b"a model")
    yield models.Source(NAME, hashlib.sha256(b"a model").hexdigest(), path)


def place(env: Environment, source: models.Source, state: ModelState) -> Planned:
    facts: dict[type, Any] = {ModelFile: state}
    return plan(models.placed, source, PATH, environment=env, member=env.hosts[GPU], facts=facts)


def state(*kept: str, link: int = 0, untouched: bool = True, mode: int = 0o644) -> ModelState:
    return ModelState(kept[link] if kept else "", untouched, "root", "root", mode, kept)


def test_a_bare_host_is_sent_the_model(env: Environment, source: models.Source) -> None:
    planned = place(env, source, ModelState())
    assert len(planned.commands) == 1 and "send" in planned.commands[0]
    assert planned.said == f"{PATH}: nothing -> SHA-256 {source.sha256[:12]} from {NAME}"


def test_a_model_that_stands_is_left_alone(env: Environment, source: models.Source) -> None:
    assert place(env, source, state(source.sha256)).commands == []


def test_a_model_that_is_kept_takes_no_upload(env: Environment, source: models.Source) -> None:
    assert source.artefact is not None
    source.artefact.unlink()
    planned = place(env, source, state("b" * 64, source.sha256))
    folder = PATH.rpartition("/")[0]
    assert planned.commands == [f"/usr/local/lib/mainstay/install-model r1 {folder} {NAME} {source.sha256} kept"]


def test_one_that_was_changed_by_hand_comes_again(env: Environment, source: models.Source) -> None:
    planned = place(env, source, state(source.sha256, untouched=False))
    assert "send" in planned.commands[0] and "was changed by hand" in planned.said


def test_an_owner_is_mended_without_an_upload(env: Environment, source: models.Source) -> None:
    planned = place(env, source, state(source.sha256, mode=0o666))
    assert planned.commands == [f"chown root:root {PATH} && chmod 0644 {PATH}"]
    assert planned.said == f"{PATH}: root:root 666 -> root:root 644"


def test_an_artefact_that_is_another_one_never_leaves_this_machine(env: Environment, source: models.Source) -> None:
    assert source.artefact is not None
    source.artefact.write_bytes(b"another")
    with pytest.raises(UsageError, match=r"found SHA-256 .*, expected .* as ml\.model\.sha256 pins it"):
        place(env, source, ModelState())
    source.artefact.unlink()
    with pytest.raises(UsageError, match=r"found no file that can be read"):
        place(env, replace(source, sha256="c" * 64), ModelState())
