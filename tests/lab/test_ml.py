"""A host that computes, in a lab without GPUs: all but the GPU; and what nvidia-smi would say, by a stand-in for it."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from mainstay.inventory import load
from mainstay.inventory.stores import secrets_file
from mainstay.secrets import SecretStore
from mainstay.secrets.identity import create_identity
from mainstay.secrets.needed import needed_secrets
from mainstay.storage import Store
from tests.lab.bench import ROOT, Bench
from workload import build as workload
from workload import models

SYSTEM, GPU, DB = "spheroseg", "sph-stg-gpu-1", "sph-stg-db-1"
NAME = "checkpoint_epoch_9.pth.tar"
FOLDER = f"/opt/{SYSTEM}/ml/models"
# nvidia-smi as a host's driver has it, as far as it is asked: what stands in /root/gpus, in its own format. The device
# file of GPU 0 is /dev/nvidia1, as where the driver met another one first.
SMI = """#!/bin/sh
case "$*" in
    --query-gpu=*) cat /root/gpus ;;
    "-q -x") sed -nE 's|^0,.*(GPU-.*)|<uuid>\\1</uuid><minor_number>1</minor_number>|p' /root/gpus ;;
    *) exit 2 ;;
esac
"""
UUID = "GPU-8932f937-d72c-4106-c12f-20bd9faed9f6"
T4 = f"0, Tesla T4, 15360, 400, {{}}, 3, 535.183.01, {UUID}"


class Computing(Bench):
    """The bench, and its GPU."""

    def gpus(self, *lines: str) -> None:
        """What nvidia-smi says from now on; nothing takes it away."""
        if not lines:
            self.sh(GPU, "rm -f /usr/local/bin/nvidia-smi /root/gpus")
            return
        text = "\\n".join(lines)
        self.sh(GPU, f"printf '%b\\n' '{text}' > /root/gpus")
        self.sh(GPU, f"cat > /usr/local/bin/nvidia-smi <<'END'\n{SMI}END\nchmod 755 /usr/local/bin/nvidia-smi")

    def slot(self) -> str:
        """The slot that takes requests."""
        return self.sh(GPU, "sed -n 's/^# slot //p' /etc/nginx/services/spheroseg-ml.conf").strip()

    def unit(self) -> str:
        """The instance that takes requests."""
        return f"spheroseg-ml@{15002 if self.slot() == 'blue' else 25002}.service"

    def started(self) -> str:
        """When it was started."""
        return self.sh(GPU, f"systemctl show -p ExecMainStartTimestampMonotonic --value {self.unit()}").strip()

    def model(self, data: bytes) -> None:
        """Pins another model, whose file is in artefacts/."""
        path = self.project / "artefacts" / NAME
        path.unlink(missing_ok=True)
        path.write_bytes(data)
        self.edit("system.yaml", self.pinned, hashlib.sha256(data).hexdigest())

    @property
    def pinned(self) -> str:
        """The checksum in the inventory."""
        text = (self.project / "inventories" / SYSTEM / "system.yaml").read_text()
        return next(line.split()[1] for line in text.splitlines() if line.startswith("    sha256: "))


@pytest.fixture(scope="module")
def computing(lab: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Computing]:
    """The GPU host, converged from bare by one apply; the database host has its operators."""
    folder = tmp_path_factory.mktemp("computing")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MAINSTAY_AGE_IDENTITY", str(folder / "identity.txt"))
        patch.setenv("MAINSTAY_OPERATOR", "alex")
        create_identity(folder / "identity.txt")
        project = folder / "project"
        shutil.copytree(
            ROOT / "inventories" / SYSTEM, project / "inventories" / SYSTEM, ignore=shutil.ignore_patterns("secrets.*")
        )
        for env in ("staging", "production"):
            store = SecretStore.open(secrets_file(project, SYSTEM, env))
            store.generate(needed_secrets(load(SYSTEM, env, root=project, check_secrets=False)))
            store.update(
                {
                    "ALERT_WEBHOOK_URL": "https://hooks.test/a1b2c3d4",
                    "S3_ACCESS_KEY_ID": "planted-id",
                    "S3_SECRET_ACCESS_KEY": "planted-key",
                }
            )
        pins(project)
        made = Computing(project, f"{lab}-ml", folder / "identity.txt", f"{SYSTEM}/staging")
        up = ["up", SYSTEM, "--env", "staging", "--hosts", f"{GPU},{DB}"]
        for words in (["down"], up):
            done = made.mainstay("lab", *words)
            assert done.returncode == 0, done.stdout + done.stderr
        made.apply(DB)  # for its operators: what else it needs is no concern here
        made.converged(GPU)
        yield made
        assert made.mainstay("lab", "down").returncode == 0


def pins(project: Path) -> None:
    """The service and its model, built; the other services are not deployed."""
    artefacts = project / "artefacts"
    built = workload.build("ml", "1.0.0", system=SYSTEM, out=artefacts, wheels=ROOT / "artefacts" / "wheels")
    file = project / "inventories" / SYSTEM / "releases.yaml"
    file.write_text("releases: {}\n")
    workload.pin([built], file)
    models.build(NAME, artefacts)


def failing(bench: Bench, *hosts: str) -> set[str]:
    return bench.failing("ml", *hosts)


@pytest.mark.covers("ML-02", "ML-03", "ML-04", "ML-06")
def test_a_host_without_a_gpu_gets_all_the_rest_in_the_lab(computing: Computing) -> None:
    assert failing(computing, GPU, DB) == set()
    assert computing.failing("service", GPU) == set()


@pytest.mark.covers("ML-02")
def test_a_service_does_not_start_without_its_model(computing: Computing) -> None:
    computing.sh(GPU, f"mv {FOLDER}/{NAME} {FOLDER}/away")
    unit = computing.unit()
    try:
        said = computing.sh(GPU, f"systemctl restart {unit}; sleep 1; journalctl -q --no-pager -o cat -u {unit} -n 20")
        assert f"model {FOLDER}/{NAME}: found no such file, expected the one with SHA-256" in said
        assert "the model is the pinned one" in failing(computing, GPU)
    finally:
        computing.sh(GPU, f"rm -f {FOLDER}/away; systemctl reset-failed {unit}; true")
    computing.converged(GPU)
    assert failing(computing, GPU) == set()


def test_a_model_that_was_changed_by_hand_comes_again_and_is_seen(computing: Computing) -> None:
    before = computing.started()
    computing.sh(GPU, f"echo planted >> {FOLDER}/{NAME}")
    assert failing(computing, GPU) == {"the model is the pinned one"}
    assert "was changed by hand" in str(computing.plan(GPU)["changes"])
    computing.converged(GPU)
    assert failing(computing, GPU) == set()
    assert computing.started() == before, "the process has the model that it loaded"


@pytest.mark.covers("ML-02")
def test_another_model_takes_the_service_over_its_other_slot(computing: Computing) -> None:
    slot, before = computing.slot(), computing.pinned
    kept = (computing.project / "artefacts" / NAME).read_bytes()
    computing.model(b"another model " * 100_000)
    computing.converged(GPU)
    assert computing.slot() != slot and failing(computing, GPU) == set()
    (computing.project / "artefacts" / NAME).unlink()
    computing.edit("system.yaml", computing.pinned, before)
    computing.converged(GPU)  # the one before is on the host still
    assert computing.slot() == slot and failing(computing, GPU) == set()
    (computing.project / "artefacts" / NAME).write_bytes(kept)


def test_a_model_from_the_store_is_fetched_by_the_host_itself(computing: Computing) -> None:
    data = b"a model in the store " * 50_000
    digest = hashlib.sha256(data).hexdigest()
    from_store = computing.edited("system.yaml", f"    file: {NAME}", f"    key: models/{NAME}")
    before = computing.pinned
    store = Store.of(computing.environment)
    store.client().put_object(Bucket=store.bucket, Key=f"models/{NAME}", Body=data)
    with from_store, computing.edited("system.yaml", before, digest):
        computing.converged(GPU)
        assert failing(computing, GPU) == set()
        said = computing.sh(GPU, "journalctl --no-pager -o cat")
        assert "X-Amz-Signature" not in said and "planted-key" not in said, "who reads the log can fetch the model"
        with computing.edited("system.yaml", digest, "b" * 64):
            outcome = computing.apply(GPU)
            assert (
                not outcome["ok"] and f"model {NAME}: found SHA-256 {digest}, expected {'b' * 64}" in outcome["reason"]
            )
            assert failing(computing, GPU) == {
                "the model is the pinned one",
                "each instance was started on the pinned model",
            }
    computing.converged(GPU)
    assert failing(computing, GPU) == set()


# GPUs, by what nvidia-smi says


NOT_GIVEN = {"each instance has a gpu to itself", "each instance may open its gpu alone"}


@pytest.mark.covers("ML-06")
def test_an_instance_is_given_the_gpu_that_is_there(computing: Computing) -> None:
    """By its name and its device file, with a new process; and back, once it is gone."""
    slot = computing.slot()
    computing.gpus(T4.format(15000))
    try:
        assert failing(computing, GPU) == NOT_GIVEN
        computing.converged(GPU)
        assert computing.slot() != slot and failing(computing, GPU) == set()
        shown = computing.sh(GPU, f"systemctl show -p Environment -p DeviceAllow {computing.unit()}")
        assert f"CUDA_VISIBLE_DEVICES={UUID}" in shown and "DeviceAllow=/dev/nvidia1 rw" in shown.splitlines()
    finally:
        computing.gpus()
    computing.converged(GPU)
    assert computing.slot() == slot and failing(computing, GPU) == set()


@pytest.mark.covers("ML-01", "SC-13")
def test_a_gpu_that_is_there_is_held_to_what_is_declared(computing: Computing) -> None:
    computing.gpus(T4.format(15000))
    try:
        computing.converged(GPU)
        computing.gpus(T4.format(100))
        assert failing(computing, GPU) == set()
        assert not computing.plan(GPU)["changes"], "what runs has its memory already"
        computing.gpus("No devices were found")
        assert failing(computing, GPU) == {"the gpus are there", *NOT_GIVEN}
        outcome = computing.apply(GPU)
        expected = "GPUs: found none (No devices were found), expected 1 as the host declares (gpus)"
        assert not outcome["ok"] and expected in outcome["reason"], outcome["reason"]
    finally:
        computing.gpus()
    computing.converged(GPU)


@pytest.mark.covers("SC-13")
def test_a_gpu_that_is_too_full_takes_no_other_instance(computing: Computing) -> None:
    slot, before = computing.slot(), computing.started()
    cheaper = computing.edited(
        "system.yaml",
        "value: '0', production_const: '0', required: true}",
        "value: 'false', required: true}",
    )
    with cheaper:
        try:
            computing.gpus(T4.format(4095))
            outcome = computing.apply(GPU)
            expected = (
                "GPU 0 (Tesla T4): found 4095 of 15360 MiB free, expected 4096 before an instance of ml starts there"
            )
            assert not outcome["ok"] and expected in outcome["reason"], outcome["reason"]
            assert (computing.slot(), computing.started()) == (slot, before)
            computing.gpus(T4.format(4096))
            computing.converged(GPU)
            assert computing.slot() != slot
        finally:
            computing.gpus()
    computing.converged(GPU)


# Every other check, seen to fail


@pytest.mark.covers("ML-04")
def test_a_package_that_was_removed_by_hand_is_drift(computing: Computing) -> None:
    venv = f"/opt/{SYSTEM}/ml/releases/1.0.0/venv/lib/python3.11/site-packages"
    gone = computing.sh(GPU, f"ls -d {venv}/h11-*.dist-info").strip()
    computing.sh(GPU, f"mv {gone} /root/gone")
    try:
        assert failing(computing, GPU) == {"packages are those of the lock"}
    finally:
        computing.sh(GPU, f"mv /root/gone {gone}")


def test_an_instance_with_another_gpu_is_seen(computing: Computing) -> None:
    unit = computing.unit()
    own = f"/etc/systemd/system/{unit}.d/60-hand.conf"
    planted = "Environment=CUDA_VISIBLE_DEVICES=7 MODEL_SHA256=none\\nDeviceAllow=/dev/nvidia7 rw"
    computing.sh(GPU, f"printf '[Service]\\n{planted}\\n' > {own}")
    computing.sh(GPU, f"systemctl daemon-reload; systemctl restart {unit}; sleep 3")
    try:
        assert failing(computing, GPU) == {*NOT_GIVEN, "each instance was started on the pinned model"}
    finally:
        computing.sh(GPU, f"rm {own}; systemctl daemon-reload; systemctl restart {unit}; sleep 3")


@pytest.mark.covers("ML-06")
def test_a_port_that_others_reach_is_seen_from_there(computing: Computing) -> None:
    computing.sh(GPU, "nft insert rule inet mainstay input tcp dport 5002 accept")
    try:
        assert failing(computing, DB) == {"the service cannot be reached from here"}
    finally:
        computing.sh(GPU, "nft -f /etc/nftables.conf")


def test_nothing_is_left_of_all_this(computing: Computing) -> None:
    assert not computing.plan(GPU)["changes"]
    assert failing(computing, GPU, DB) == set()
