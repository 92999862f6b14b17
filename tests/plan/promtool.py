"""Prometheus' and Alertmanager's own judges, and nginx, as Debian packages them: `bin/test` unpacks them, no test skips
them."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

TOOLS = Path(__file__).parents[2] / "artefacts" / "tools"


def tool(name: str) -> Path:
    """promtool, amtool or nginx; a test without it fails."""
    found = shutil.which(name, path=TOOLS) or shutil.which(name)
    if found is None:
        pytest.fail(f"no {name} in {TOOLS} and none in PATH; bin/test puts it there")
    return Path(found)


def run(name: str, *words: str | Path) -> str:
    """What the tool prints; it must be content."""
    done = subprocess.run([str(tool(name)), *map(str, words)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr
