"""Releases: an artefact, checked here and on the host, unpacked there with all that it needs to run."""

from __future__ import annotations

import base64
import json
import shlex
import tarfile
from collections.abc import Generator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from pyinfra import host
from pyinfra.api import StringCommand, operation

from deploys.operations import checksums
from deploys.operations.files import KIT
from facts.release import HostPlatform, Platform, Releases
from mainstay import context
from mainstay.errors import HostError, UsageError
from mainstay.plan_notes import note


@dataclass(frozen=True)
class Declared:
    """What an artefact says of itself in its release.json; `python`, `arch` and `node` are empty where any will do."""

    name: str
    version: str
    python: str
    arch: str
    node: str


@dataclass(frozen=True)
class Pinned:
    """The release that the inventory pins; `artefact` is its file on this machine, `sha256` what that hashes to."""

    service: str
    version: str
    artefact: Path
    sha256: str

    def __str__(self) -> str:
        return f"{self.service} {self.version}"


@operation()
def installed(base: str, pinned: Pinned, keep: int) -> Generator[StringCommand, None, None]:
    """Unpacks the release below `base` and builds its virtual environment; nothing serves it yet.

    Args:
        base: `/opt/<system>/<service>`, or `/srv/...` for static files.
        pinned: its artefact is opened only where the host lacks the release.
        keep: the newest releases that stay on the host; the current and the one before stay whatever their age.

    Raises:
        UsageError: the artefact is missing or is not what the inventory pins.
        HostError: the artefact does not fit the host, or the host has that version from another artefact.
    """
    state = host.get_fact(Releases, base=base)
    if state.installed.get(pinned.version) == pinned.sha256:
        host.noop(f"{pinned} is on the host")
        return
    name = context.current()[1].name
    if pinned.version in state.installed:
        raise HostError(name, f"{pinned}: found it built from another artefact, expected a version never to change")
    fault = mismatch(pinned, describe(pinned.artefact, pinned.sha256), host.get_fact(HostPlatform))
    if fault:
        raise HostError(name, fault)
    note(f"{base}/releases/{pinned.version}", f"new, from {pinned.artefact.name} (SHA-256 {pinned.sha256[:12]})")
    words = [context.run_id() or "-", base, pinned.service, pinned.version, pinned.sha256, str(keep)]
    command = " ".join(shlex.quote(word) for word in words)
    yield StringCommand(f"base64 -d | {KIT}/install-release {command}", _stdin=_encoded(pinned.artefact))


def mismatch(pinned: Pinned, declared: Declared, platform: Platform) -> str:
    """Why this artefact cannot run on such a host, in one sentence; empty where it can."""
    if (declared.name, declared.version) != (pinned.service, pinned.version):
        return f"{pinned.artefact.name}: found {declared.name} {declared.version} in release.json, expected {pinned}"
    if declared.arch and declared.arch != platform.arch:
        return f"{pinned} needs {declared.arch}: found {platform.arch}, nothing was changed"
    for what, wanted, has in (
        ("Python", declared.python, platform.python),
        ("Node", declared.node, platform.node),
    ):
        if wanted and wanted != has:
            found = f"{what} {has}" if has else f"no {what} that is known"
            return f"{pinned} needs {what} {wanted}: found {found}, nothing was changed"
    return ""


@lru_cache(maxsize=16)
def describe(artefact: Path, sha256: str) -> Declared:
    """What the artefact says of itself, its checksum proven first.

    Raises:
        UsageError: no such file, another checksum, or no release.json that can be read.
    """
    checksums.check(artefact, sha256, "releases.yaml")
    try:
        with tarfile.open(artefact) as tar:
            member: Any = tar.extractfile(_release_json(tar))
            values = json.load(member)
        return Declared(*(str(values.get(key) or "") for key in ("name", "version", "python", "arch", "node")))
    except (tarfile.TarError, KeyError, ValueError, AttributeError) as error:
        raise UsageError(f"{artefact}: found no release.json that can be read, expected one at its top") from error


def _release_json(tar: tarfile.TarFile) -> tarfile.TarInfo:
    """The member, however the builder spelled the folder it stands in."""
    try:
        return tar.getmember("release.json")
    except KeyError:
        return tar.getmember("./release.json")


@lru_cache(maxsize=4)
def _encoded(artefact: Path) -> str:
    """pyinfra sends text only; every host of a role is sent the same."""
    return base64.encodebytes(artefact.read_bytes()).decode()
