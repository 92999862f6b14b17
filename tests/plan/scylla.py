"""The shipped system that has ScyllaDB, edited, and production of it with a source of packages and every secret."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import pytest

from mainstay.inventory import Environment, load
from mainstay.secrets import SecretStore
from mainstay.secrets.needed import needed_secrets
from tests.plan.harness import Planned, plan
from tests.unit import inventories
from tests.unit.archive_keys import FINGERPRINT_ONE, ONE
from tests.unit.inventories import Edit
from tests.unit.secret_stores import new_identity

SYSTEM = "tchat"
FIRST, LAST = "tchat-scylla-1", "tchat-scylla-3"
CONTROL = "/usr/local/lib/mainstay/scylla-control"
NONE = "source: null "
SOURCE = (
    "source: {uri: https://packages.example.test/scylla, suite: stable, components: [main], key: archive.asc, "
    f"fingerprint: {FINGERPRINT_ONE}}} "
)
messages = partial(inventories.messages, system=SYSTEM)


def project(folder: Path, *edits: Edit) -> Path:
    """A copy of a shipped system that has ScyllaDB, edited, with the key of an archive; no releases, no secrets."""
    root = inventories.copied(folder, *edits, system=SYSTEM)
    (root / "inventories" / SYSTEM / "archive.asc").write_text(ONE)
    return root


def environment(folder: Path, patch: pytest.MonkeyPatch) -> Environment:
    """Production, with a source of packages and every secret made."""
    new_identity(folder, patch)
    root = project(folder / "p", ("system.yaml", NONE, SOURCE))
    store = SecretStore.open(root / f"inventories/{SYSTEM}/secrets.production.yaml")
    by_hand = store.generate(needed_secrets(load(SYSTEM, "production", root=root))).by_hand
    store.update({name: f"https://hooks.example.test/{name}" for name in by_hand})
    return load(SYSTEM, "production", root=root)


def planned(env: Environment, operation: Any, facts: dict[type, Any], *arguments: Any) -> Planned:
    """What the operation would do on the last node."""
    return plan(operation, *arguments, environment=env, member=env.hosts[LAST], facts=facts)
