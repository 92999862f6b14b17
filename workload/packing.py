"""What every artefact of the stand-ins is made of: files by name, and a tar that depends on nothing else."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from collections.abc import Mapping
from pathlib import Path

HERE = Path(__file__).resolve().parent
PROJECT = HERE.parent
ARTEFACTS = PROJECT / "artefacts"
ARCH = "x86_64"
# What a run of CI would have written; the gates of a release read it (DP-01..06).
CI = {"tests": "passed", "coverage": 86.0, "changelog": True, "secret_scan": "clean", "api_compat": True}
_LEFTOVERS = (".pyc", ".swp")

Files = dict[str, bytes]


class BuildError(Exception):
    """The artefact cannot be built; the message is one sentence."""


def tree(folder: Path) -> Files:
    """Contents of all files below `folder`, by relative name; nothing that Python or an editor left there."""
    paths = [path for path in sorted(folder.rglob("*")) if path.is_file() and "__pycache__" not in path.parts]
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths if path.suffix not in _LEFTOVERS}


def digest(files: Files) -> str:
    """SHA-256 of names and contents."""
    total = hashlib.sha256()
    for name, data in sorted(files.items()):
        total.update(f"{name} {hashlib.sha256(data).hexdigest()}\n".encode())
    return total.hexdigest()


def json_of(data: Mapping[str, object]) -> bytes:
    """The mapping as JSON, the same bytes each time."""
    return (json.dumps(data, indent=2, sort_keys=True) + "\n").encode()


def with_manifest(files: Files, about: Mapping[str, str]) -> Files:
    """The files with `release.json`, which says what they are, and the `ci.json` of a run that passed."""
    # No commit of a repository: the digest of the sources says the same and is the same on every machine.
    ci = {**CI, "commit": digest(files)[:40]}
    return {**files, "release.json": json_of(about), "ci.json": json_of(ci)}


def migrations() -> Files:
    """What the database's owner applies before any kind of stand-in serves items."""
    return {f"app/migrations/{name}": data for name, data in tree(HERE / "backend" / "migrations").items()}


def tar(files: Files, programs: frozenset[str] = frozenset()) -> bytes:
    """An uncompressed tar that depends on names and contents alone: sorted, owned by root, all of one time.

    Args:
        files: contents by name.
        programs: the names of those that are executed.
    """
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.GNU_FORMAT) as archive:
        for name, data in sorted(files.items()):
            info = tarfile.TarInfo(name)
            info.size, info.mode, info.mtime = len(data), 0o755 if name in programs else 0o644, 0
            info.uname = info.gname = "root"
            archive.addfile(info, io.BytesIO(data))
    return buffer.getvalue()
