"""What `releases.installed` sends, and what it refuses before anything is sent."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import pytest

from deploys.operations import releases
from deploys.operations.releases import Pinned
from facts.release import HostPlatform, Platform, Releases, ReleaseState, parse_platform, parse_releases
from mainstay.errors import HostError, MainstayError, UsageError
from tests.plan.harness import Planned, plan
from tests.unit.inventories import copied, loaded
from workload import packing

BASE = "/opt/everydayai/backend"
BOOKWORM = Platform("x86_64", "3.11", "18")


def artefact(folder: Path, **about: str) -> Pinned:
    """A tar with a release.json, as a build would make it."""
    values = {"name": "backend", "version": "1.0.0", "kind": "python", "python": "3.11", "arch": "x86_64"} | about
    path = folder / "everydayai-backend-1.0.0.tar"
    path.write_bytes(packing.tar({"release.json": packing.json_of(values)}))
    return Pinned("backend", "1.0.0", path, hashlib.sha256(path.read_bytes()).hexdigest())


def planned(folder: Path, pinned: Pinned, state: ReleaseState | None = None, platform: Platform = BOOKWORM) -> Planned:
    environment = loaded(copied(folder / "project"))
    facts: dict[type, Any] = {Releases: state or ReleaseState(), HostPlatform: platform}
    member = environment.hosts["eai-app-1"]
    return plan(releases.installed, BASE, pinned, 3, environment=environment, member=member, facts=facts)


def test_a_release_is_sent_by_standard_input_with_its_checksum(tmp_path: Path) -> None:
    pinned = artefact(tmp_path)
    result = planned(tmp_path, pinned)
    command = f"base64 -d | /usr/local/lib/mainstay/install-release r1 {BASE} backend 1.0.0 {pinned.sha256} 3"
    assert result.commands == [command]
    assert len(result.stdin[0]) > pinned.artefact.stat().st_size
    assert result.said.startswith(f"{BASE}/releases/1.0.0: new, from everydayai-backend-1.0.0.tar")


def test_a_release_that_is_there_needs_no_artefact(tmp_path: Path) -> None:
    pinned = Pinned("backend", "1.0.0", tmp_path / "gone.tar", "c" * 64)
    assert planned(tmp_path, pinned, ReleaseState({"1.0.0": "c" * 64})).commands == []


@pytest.mark.parametrize(
    ("about", "platform", "message"),
    [
        ({"python": "3.13"}, BOOKWORM, "backend 1.0.0 needs Python 3.13: found Python 3.11, nothing was changed"),
        ({"arch": "aarch64"}, BOOKWORM, "backend 1.0.0 needs aarch64: found x86_64, nothing was changed"),
        ({}, Platform("x86_64", "3.13"), "backend 1.0.0 needs Python 3.11: found Python 3.13, nothing was changed"),
        ({}, Platform("x86_64"), "backend 1.0.0 needs Python 3.11: found no Python that is known, nothing was changed"),
        ({"node": "20"}, BOOKWORM, "backend 1.0.0 needs Node 20: found Node 18, nothing was changed"),
        (
            {"python": "", "node": "18"},
            Platform("x86_64"),
            "backend 1.0.0 needs Node 18: found no Node that is known, nothing was changed",
        ),
        (
            {"version": "1.0.1"},
            BOOKWORM,
            "everydayai-backend-1.0.0.tar: found backend 1.0.1 in release.json, expected backend 1.0.0",
        ),
    ],
)
def test_what_does_not_fit_the_host_is_refused(
    tmp_path: Path, about: dict[str, str], platform: Platform, message: str
) -> None:
    with pytest.raises(HostError) as refused:
        planned(tmp_path, artefact(tmp_path, **about), platform=platform)
    assert str(refused.value) == f"eai-app-1: {message}"


def test_a_wrong_checksum_is_refused_here(tmp_path: Path) -> None:
    pinned = artefact(tmp_path)
    pinned.artefact.write_bytes(pinned.artefact.read_bytes() + b"\0")
    expected = rf"found SHA-256 [0-9a-f]{{64}}, expected {pinned.sha256} as releases.yaml pins it"
    with pytest.raises(UsageError, match=expected):
        planned(tmp_path, pinned)


def test_a_version_never_changes(tmp_path: Path) -> None:
    with pytest.raises(HostError, match="found it built from another artefact, expected a version never to change"):
        planned(tmp_path, artefact(tmp_path), ReleaseState({"1.0.0": "d" * 64}))


@pytest.mark.parametrize("content", [b"", b"not a tar at all"])
def test_what_is_no_artefact_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "x.tar"
    path.write_bytes(content)
    with pytest.raises(MainstayError, match=r"found no release.json that can be read, expected one at its top"):
        planned(tmp_path, Pinned("backend", "1.0.0", path, hashlib.sha256(content).hexdigest()))


def test_a_missing_artefact_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"none.tar: found no file that can be read \(No such file or directory\)"):
        planned(tmp_path, Pinned("backend", "1.0.0", tmp_path / "none.tar", "e" * 64))


def test_reads_what_the_host_says() -> None:
    lines = ["release\t1.0.0\t" + "a" * 64, "current\t1.0.0", "previous\t0.9.0", "noise"]
    assert parse_releases(lines) == ReleaseState({"1.0.0": "a" * 64}, "1.0.0", "0.9.0")
    assert parse_releases([]) == ReleaseState()
    assert parse_platform(["arch\tx86_64", "debian\t13"]) == Platform("x86_64", "3.13", "20")
    there = ["arch\taarch64", "debian\t12", "python\t3.11", "node\t22"]
    assert parse_platform(there) == Platform("aarch64", "3.11", "22")
    assert parse_platform([]) == Platform()
