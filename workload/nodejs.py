"""The stand-in in Node with its libraries beside it, as npm gives them for a lock with hashes."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import tempfile
from functools import lru_cache
from pathlib import Path

from workload.packing import ARTEFACTS, HERE, BuildError, Files, tree

SOURCES = HERE / "node_service"
NODE = "18"
"""What Debian 12 has, and what the artefact declares."""
# Of no use to a program that runs; the last one names the registry it came from.
_LEFT_OUT = (".d.ts", ".map", ".md", ".markdown", ".package-lock.json")


def files(entry: str) -> Files:
    """The application below `app/`, with `entry` (such as dist/server.js) as its program.

    Raises:
        BuildError: the libraries cannot be had.
    """
    folder = entry.rpartition("/")[0]
    found: Files = {"app/package.json": (SOURCES / "package.json").read_bytes()}
    for path in SOURCES.glob("*.js"):
        name = entry.rpartition("/")[2] if path.name == "server.js" else path.name
        found[f"app/{folder}/{name}" if folder else f"app/{name}"] = path.read_bytes()
    libraries = {f"app/node_modules/{name}": data for name, data in tree(modules()).items()}
    return found | {name: data for name, data in libraries.items() if not name.endswith(_LEFT_OUT)}


@lru_cache(maxsize=1)
def modules() -> Path:
    """The folder `node_modules` of the lock; npm is asked only where it is not there yet.

    Raises:
        BuildError: no npm, or it cannot get what the lock says.
    """
    lock = (SOURCES / "package-lock.json").read_bytes()
    target = ARTEFACTS / f"node-{hashlib.sha256(lock).hexdigest()[:16]}"
    if target.is_dir():
        return target / "node_modules"
    if shutil.which("npm") is None:
        raise BuildError("found no npm, expected Debian's nodejs and npm")
    ARTEFACTS.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=ARTEFACTS) as folder:
        for name in ("package.json", "package-lock.json"):
            shutil.copy(SOURCES / name, folder)
        command = ["npm", "ci", "--omit=dev", "--ignore-scripts", "--no-bin-links", "--no-audit", "--no-fund"]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            lines = [line for line in done.stderr.splitlines() if line.startswith("npm ERR!")] or ["npm ERR! no reason"]
            raise BuildError(f"npm cannot get the locked libraries ({lines[0].removeprefix('npm ERR! ')})")
        shutil.copytree(folder, target.with_suffix(".part"), dirs_exist_ok=True)
    target.with_suffix(".part").replace(target)
    return target / "node_modules"
