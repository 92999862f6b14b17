"""The host scripts that Mainstay's operations call; they come before everything else."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Generator
from pathlib import Path

from pyinfra import host
from pyinfra.api import StringCommand, operation

from deploys.operations.files import KIT
from facts.hostkit import HostkitDigest
from mainstay import project
from mainstay.files import tar_of
from mainstay.plan_notes import note


@operation()
def installed() -> Generator[StringCommand, None, None]:
    """Puts `templates/hostkit/*` to /usr/local/lib/mainstay, all of them by one rename of a link."""
    scripts = _scripts()
    digest = _digest(scripts)
    if host.get_fact(HostkitDigest) == digest:
        host.noop("host scripts are current")
        return
    note(KIT, f"host scripts {digest[:12]}: " + " ".join(sorted(scripts)))
    yield StringCommand(_install_command(digest), _stdin=base64.encodebytes(_archive(scripts)).decode())


def _scripts() -> dict[str, bytes]:
    """Every host script by name; the operator's own file wins over the bundled one of the same name."""
    found: dict[str, Path] = {}
    for folder in project.template_dirs():
        for path in sorted((Path(folder) / "hostkit").glob("*")):
            if path.is_file():
                found.setdefault(path.name, path)
    return {name: path.read_bytes() for name, path in found.items()}


def _digest(scripts: dict[str, bytes]) -> str:
    digest = hashlib.sha256()
    for name, data in sorted(scripts.items()):
        digest.update(f"{name}\0{len(data)}\0".encode() + data)
    return digest.hexdigest()


def _archive(scripts: dict[str, bytes]) -> bytes:
    return tar_of(dict(sorted(scripts.items())), lambda name: 0o644 if name.endswith(".sh") else 0o755)


def _install_command(digest: str) -> str:
    """A run in progress keeps the scripts it began with: each version has a folder, and a link names the current."""
    folder = f"{KIT}-{digest[:16]}"
    unit = "mainstay-deadman-boot.service"
    steps = [
        "set -e; umask 022",
        f"rm -rf {folder}.new; mkdir {folder}.new",
        f"base64 -d | tar -x -C {folder}.new --no-same-owner",
        f"echo {digest} > {folder}.new/digest",
        # Linked by hand: it matters at the next boot, and needs no reload of systemd until then.
        f"install -m 0644 {folder}.new/{unit} /etc/systemd/system/{unit}",
        "mkdir -p /etc/systemd/system/sysinit.target.wants",
        f"ln -sfn ../{unit} /etc/systemd/system/sysinit.target.wants/{unit}",
        f"rm -rf {folder}; mv -T {folder}.new {folder}",
        f"ln -sfn {folder} {KIT}.new; mv -fT {KIT}.new {KIT}",
        "install -d -m 0700 /var/lib/mainstay",
        f"ls -1dt {KIT}-* | tail -n +4 | xargs -r rm -rf --",
    ]
    return "; ".join(steps)
