"""The shipped system as tests plan it: with releases pinned and every secret made."""

from __future__ import annotations

from pathlib import Path

import pytest

from mainstay.inventory import ENVIRONMENTS, Environment, load
from mainstay.inventory.stores import secrets_file
from mainstay.secrets import SecretStore
from mainstay.secrets.needed import needed_secrets
from tests.unit.inventories import SYSTEM, Edit, copied, loaded
from tests.unit.secret_stores import new_identity

SHA = {"1.0.0": "a" * 64, "1.1.0": "b" * 64}


def pins(**versions: str) -> str:
    """releases.yaml: the pinned version of each service, and artefacts of two versions."""
    lines = ["releases:"]
    for service, version in versions.items():
        lines += [f"  {service}:", f"    version: {version}", "    artefacts:"]
        lines += [f"      {v}: {{file: {SYSTEM}-{service}-{v}.tar, sha256: {sha}}}" for v, sha in SHA.items()]
    return "\n".join(lines) + "\n"


def issued(folder: Path, patch: pytest.MonkeyPatch) -> Environment:
    """Production of the shipped system as it is, with secrets of its own."""
    new_identity(folder, patch)
    root = copied(folder)
    store = SecretStore.open(secrets_file(root, SYSTEM, "production"))
    by_hand = store.generate(needed_secrets(loaded(root))).by_hand
    store.update({name: f"issued-{name.lower()}-0123456789" for name in by_hand})
    return loaded(root)


def project(folder: Path, monkeypatch: pytest.MonkeyPatch, *edits: Edit) -> Path:
    """A copy of the shipped inventory, edited, with a store of its own for each environment."""
    root = copied(folder, *edits)
    (root / "inventories" / SYSTEM / "releases.yaml").write_text(pins(backend="1.0.0", frontend="1.0.0"))
    names = [one.name for one in needed_secrets(load(SYSTEM, "staging", root=root))]
    new_identity(folder, monkeypatch)
    for env in ENVIRONMENTS:
        store = SecretStore.open(secrets_file(root, SYSTEM, env))
        store.update({name: f"{env}-{name}-{number:032}" for number, name in enumerate(names)})
    return root


def pinned(root: Path, env: str = "production", **versions: str) -> Environment:
    """The environment with other versions pinned."""
    text = pins(**{"backend": "1.0.0", "frontend": "1.0.0"} | versions)
    (root / "inventories" / SYSTEM / "releases.yaml").write_text(text)
    return load(SYSTEM, env, root=root)
