"""The system of the lab's `watched`, with what it lacks there laid over it: a replica and backups."""

from __future__ import annotations

from pathlib import Path

import pytest

from mainstay.inventory import Environment, load
from mainstay.secrets.identity import VARIABLE
from tests.lab import watched
from tests.unit.inventories import Edit

REPLICA = "  watched-replica: {address: 198.51.100.32, roles: [db_replica], memory: 1G, cores: 1, disk: 10G}\n"
MORE: list[Edit] = [
    ("production.yaml", "hosts:\n", f"hosts:\n{REPLICA}"),
    ("system.yaml", "  P2:\n", "  P2:\n    - {name: cache_hit, below_pct: 85}\n"),
    ("system.yaml", "thresholds:\n", "thresholds:\n  replication_lag_s: {warn: 30, crit: 300}\n"),
    (
        "system.yaml",
        "thresholds:\n",
        "backup:\n  schedule_utc: '15 1 * * *'\n  targets: [postgres, redis]\n\nthresholds:\n",
    ),
]


def project(folder: Path, patch: pytest.MonkeyPatch, *edits: Edit) -> Path:
    """A copy of the system, edited, with secrets of its own."""
    patch.setenv(VARIABLE, str(folder / "identity.txt"))
    root = watched.project(folder / "project", folder / "identity.txt")
    for file, old, new in edits:
        path = root / "inventories" / watched.SYSTEM / file
        text = path.read_text()
        assert old in text, f"{file} no longer holds {old!r}"
        path.write_text(text.replace(old, new, 1))
    return root


def environment(folder: Path, patch: pytest.MonkeyPatch, env: str) -> Environment:
    """The environment, whole; production with a replica and backups."""
    edits = MORE if env == "production" else []
    return load(watched.SYSTEM, env, root=project(folder, patch, *edits))
