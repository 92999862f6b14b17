"""What Mainstay ships as its own knows none of the systems that it was made for: they are inventories, no more."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from tests.unit.inventories import SYSTEMS

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("folder", ["deploys", "facts", "templates", "src"])
def test_nothing_names_a_system(folder: str) -> None:
    assert len(SYSTEMS) >= 5
    listed = subprocess.run(["git", "ls-files", "-z", folder], cwd=ROOT, capture_output=True, check=True).stdout
    names = re.compile("|".join(SYSTEMS), re.IGNORECASE)
    files = [ROOT / name for name in listed.decode().split("\0") if name]
    assert files
    named = [f"{path.relative_to(ROOT)}: {found[0]}" for path in files if (found := names.search(path.read_text()))]
    assert named == []
