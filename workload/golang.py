"""The stand-in in Go, compiled from Debian's own packages: no network, the same bytes from the same compiler."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from functools import lru_cache
from pathlib import Path

from workload.packing import ARTEFACTS, HERE, BuildError

SOURCES = HERE / "go_service"
LIBRARIES = Path("/usr/share/gocode")
PACKAGES = ("golang-go", "golang-github-lib-pq-dev", "golang-github-gomodule-redigo-dev")


@lru_cache(maxsize=1)
def program() -> bytes:
    """The static program, which is every Go service of every system: it reads its name from its release.

    Raises:
        BuildError: no compiler or no libraries, or they refuse the sources.
    """
    lacking = [name for name in ("lib/pq", "gomodule/redigo") if not (LIBRARIES / "src/github.com" / name).is_dir()]
    if shutil.which("go") is None or lacking:
        raise BuildError(f"found no Go compiler with its libraries, expected Debian's {', '.join(PACKAGES)}")
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / "server"
        sources = sorted(path.name for path in SOURCES.glob("*.go"))
        # By file names: a folder outside of GOPATH would leave its path in the program.
        command = ["go", "build", "-trimpath", "-ldflags", "-s -w -buildid=", "-o", str(target), *sources]
        done = subprocess.run(command, cwd=SOURCES, env=_environment(), capture_output=True, text=True, check=False)
        if done.returncode != 0:
            reason = " ".join(done.stderr.split()) or f"go ended with {done.returncode}"
            raise BuildError(f"workload/{SOURCES.name}: the compiler refuses it ({reason})")
        return target.read_bytes()


def _environment() -> dict[str, str]:
    """Nothing of the caller's own settings of Go, and no network."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("GO", "CGO"))}
    cache = ARTEFACTS / "go-cache"
    cache.mkdir(parents=True, exist_ok=True)
    settings = {"GO111MODULE": "off", "GOPATH": str(LIBRARIES), "GOCACHE": str(cache), "CGO_ENABLED": "0"}
    return {**kept, **settings, "GOOS": "linux", "GOARCH": "amd64", "GOFLAGS": "-buildvcs=false"}
