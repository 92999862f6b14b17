"""The wheels of the stand-in in Python: fetched through pip once, and only the very ones that are pinned."""

from __future__ import annotations

import hashlib
import re
import subprocess
import sys
from pathlib import Path

from workload.packing import BuildError

PYTHON = "3.11"
PLATFORMS = ("manylinux2014_x86_64", "manylinux_2_17_x86_64")


def fetch_wheels(requirements: str, folder: Path) -> list[Path]:
    """The wheels of `requirements`, one a line with one SHA-256 each; pip is asked only for what is not in `folder`.

    Raises:
        BuildError: pip cannot get them, or what it got is not what is pinned.
    """
    pinned = set(re.findall(r"--hash=sha256:([0-9a-f]{64})", requirements))
    folder.mkdir(parents=True, exist_ok=True)
    if pinned - _by_digest(folder).keys():
        _download(requirements, folder)
    found = _by_digest(folder)
    missing = pinned - found.keys()
    if missing:
        raise BuildError(f"{folder}: {len(missing)} of {len(pinned)} pinned wheels are missing after the download")
    return sorted(found[digest] for digest in pinned)


def _by_digest(folder: Path) -> dict[str, Path]:
    return {hashlib.sha256(path.read_bytes()).hexdigest(): path for path in folder.glob("*.whl")}


def _download(requirements: str, folder: Path) -> None:
    file = folder / "requirements.txt"
    file.write_text(requirements)
    platforms = [word for platform in PLATFORMS for word in ("--platform", platform)]
    # --no-deps: the list is complete, and pip would read markers for this machine's Python, not for the hosts'.
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--require-hashes", "--no-deps"]
    command += ["--only-binary=:all:", "--python-version", PYTHON, *platforms, "-d", str(folder), "-r", str(file)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        errors = [line for line in done.stderr.splitlines() if line.startswith("ERROR")]
        reason = errors[-1] if errors else f"pip ended with {done.returncode}"
        raise BuildError(f"{folder}: cannot get the pinned wheels ({reason})")
