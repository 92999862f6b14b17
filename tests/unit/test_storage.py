"""How this machine speaks to a store: each vendor in its own way, with the inventory's credentials, and no sooner."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from mainstay.errors import InventoryError, UsageError
from mainstay.inventory import Environment, load
from mainstay.lab import store as lab_store
from mainstay.lab.overlay import HostOverlay, Overlay
from mainstay.lab.state import LabState
from mainstay.secrets import SecretStore
from mainstay.secrets.identity import VARIABLE, create_identity
from mainstay.storage import Store, refusal
from tests.unit.inventories import SHIPPED, SYSTEM, copied

VENDORS = {
    "aws": ("eu-central-1", "https://s3.eu-central-1.amazonaws.com", "s3v4"),
    "cos": ("ap-guangzhou", "https://cos.ap-guangzhou.myqcloud.com", "s3v4"),
    "oss": ("cn-hangzhou", "https://s3.oss-cn-hangzhou.aliyuncs.com", "s3"),
}
KEY = "planted-key-31d7"


def environment(folder: Path, vendor: str, more: str = "  key_id: STORE_KEY_ID\n  key: STORE_KEY\n") -> Environment:
    """Production of the shipped system with an account at that vendor."""
    region, endpoint, signature = VENDORS[vendor]
    text = f"storage:\n  provider: {vendor}\n  region: {region}\n  endpoint_url: {endpoint}\n  signature: {signature}\n"
    old = (SHIPPED / SYSTEM / "system.yaml").read_text()
    old = old[old.index("\nstorage:") : old.index("\nbackup:")]
    root = copied(folder, ("system.yaml", old, f"\n{text}{more}"))
    store = SecretStore.open(root / "inventories" / SYSTEM / "secrets.production.yaml")
    store.update({"STORE_KEY_ID": "planted-id", "STORE_KEY": KEY})
    return load(SYSTEM, "production", root=root, check_secrets=False)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setenv(VARIABLE, str(tmp_path / "identity.txt"))
    create_identity(tmp_path / "identity.txt")
    yield tmp_path / "project"


@pytest.mark.parametrize("vendor", VENDORS)
def test_each_vendor_is_spoken_to_in_its_own_way(folder: Path, vendor: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "of-whoever-works-here")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "of-whoever-works-here")
    region, endpoint, signature = VENDORS[vendor]
    bucket = f"site-{'1250000000' if vendor == 'cos' else 'of-us'}"
    client = Store.of(environment(folder, vendor), bucket).client()
    config = client.meta.config
    assert (client.meta.endpoint_url, client.meta.region_name) == (endpoint, region)
    assert (config.signature_version, config.s3["addressing_style"]) == (signature, "virtual")
    assert (config.request_checksum_calculation, config.response_checksum_validation) == ("when_required",) * 2
    link = Store.of(environment(folder / "again", vendor), bucket).link("models/net.tar", 60)
    assert link.startswith(f"https://{bucket}.{endpoint.removeprefix('https://')}/models/net.tar?")
    assert "planted-id" in link and "of-whoever" not in link and KEY not in link


def test_what_a_client_needs_is_named_where_it_is_missing(folder: Path) -> None:
    with pytest.raises(InventoryError) as found:
        Store.of(environment(folder, "aws", more=""))
    assert [str(problem).partition(": ")[2] for problem in found.value.problems] == [
        "storage.bucket: found none, expected the bucket's name",
        "storage.key_id: found none, expected the name of the secret that holds it",
        "storage.key: found none, expected the name of the secret that holds it",
    ]


def test_in_the_lab_it_is_the_lab_s(folder: Path) -> None:
    env = environment(folder, "oss")
    lab = Overlay("lab", Path("/k"), Path("/h"), {"production/x": HostOverlay("198.18.0.11", 22, 12)}, [])
    with pytest.raises(UsageError, match="the lab 'lab' has no object store, expected one: `mainstay lab up"):
        Store.of(replace(env, lab=lab), "site-of-us")
    inside = Store.of(replace(env, lab=replace(lab, store="http://198.18.0.1:9000")), "site-of-us")
    assert inside.client().meta.endpoint_url == inside.cdn().meta.endpoint_url == "http://198.18.0.1:9000"
    assert KEY not in repr(inside)


def test_the_lab_has_a_store_for_systems_that_speak_to_one(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    more = "  key_id: STORE_KEY_ID\n  key: STORE_KEY\n"
    root = environment(folder, "aws", more).root
    monkeypatch.setenv("MAINSTAY_PROJECT", str(root))
    with (root / "inventories" / SYSTEM / "production.yaml").open("a") as own:
        own.write("\nstorage: {bucket: backups-of-us}\n")
    assert lab_store.named(SYSTEM) == {"buckets": ["backups-of-us"], "distributions": []}
    lab = LabState("lab", 1)
    assert lab_store.endpoint(lab, SYSTEM) == f"http://{lab.network.gateway}:{lab_store.PORT}"
    system = root / "inventories" / SYSTEM / "system.yaml"
    system.write_text(system.read_text().replace("  key_id: STORE_KEY_ID\n", ""))
    assert lab_store.named(SYSTEM) == {} and lab_store.endpoint(lab, SYSTEM) == ""


def test_a_refusal_is_a_few_words() -> None:
    class Refused(Exception):
        response = {"Error": {"Code": "AccessDenied", "Message": "no"}}  # noqa: RUF012

    assert refusal(Refused()) == "AccessDenied: no"
    assert refusal(OSError("could not\n  connect")) == "could not connect"
    assert refusal(TimeoutError()) == "TimeoutError"


def test_no_command_waits_for_boto3_to_be_imported() -> None:
    modules = ["mainstay.cli", "mainstay.outside", "mainstay.storage", "deploys.components.frontend.outside"]
    modules += ["deploys.operations.models", "sys"]
    script = f"import {', '.join(modules)}; print(sorted({{'boto3', 'botocore', 'moto'}} & set(sys.modules)))"
    root = Path(__file__).parents[2]
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False, cwd=root)
    assert done.stdout.strip() == "[]", done.stdout + done.stderr
