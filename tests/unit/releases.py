"""Built releases for tests that need no host: an archive with what its build says of it, pinned in a project."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from tests.unit.inventories import SYSTEM
from workload import packing
from workload.build import CI

EXAMPLE = (Path(__file__).parents[2] / "workload" / "backend" / ".env.example").read_text()


def built(root: Path, ci: Any = CI, example: str = EXAMPLE) -> Path:
    """A backend 1.2.0 whose artefact holds this `ci.json` and `.env.example`, pinned in the project."""
    (root / "artefacts").mkdir()
    path = root / "artefacts" / "everydayai-backend-1.2.0.tar"
    path.write_bytes(packing.tar({"ci.json": packing.json_of(ci), "app/.env.example": example.encode()}))
    sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    pin = {"version": "1.2.0", "artefacts": {"1.2.0": {"file": path.name, "sha256": sha256}}}
    (root / "inventories" / SYSTEM / "releases.yaml").write_text(json.dumps({"releases": {"backend": pin}}))
    return path
