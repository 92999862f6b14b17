"""The change: one digest of everything that both environments have in common.

Staging proves a change and production takes it, so the digest must be the same in both. It covers the model without
what `<env>.yaml` sets (a field marked `per_env` counts with its value in `system.yaml`, where that has one: a default
that both environments use is not changed behind staging's back), every file of deploys, facts and templates, the
pinned artefacts, and Mainstay's own version.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from mainstay import __version__, project
from mainstay.inventory.environment import Environment
from mainstay.inventory.fields import is_per_env

FOLDERS = ("deploys", "facts", "templates")


@dataclass(frozen=True)
class Change:
    """The desired state, as digests.

    Attributes:
        digest: SHA-256 in hex over all parts.
        parts: SHA-256 of `model`, `files` and `artefacts`, and Mainstay's `version`, to say what differs.
    """

    digest: str
    parts: dict[str, str]

    @property
    def short(self) -> str:
        """The first 12 digits, as messages print it."""
        return self.digest[:12]

    def differs_in(self, other: Change) -> list[str]:
        """The names of the parts that are not the same."""
        return [name for name, value in self.parts.items() if other.parts.get(name) != value]


def change(env: Environment) -> Change:
    """The change that the environment's inventory and project describe."""
    parts = {
        "model": _digest(shared_model(env)),
        "files": files_digest(env.root),
        "artefacts": _digest({name: [pin.version, pin.artefact.sha256] for name, pin in env.releases.items()}),
        "version": __version__,
    }
    return Change(_digest(parts), parts)


def shared_model(env: Environment) -> dict[str, Any]:
    """The resolved model without what environments set for themselves, ready for JSON."""
    values: dict[str, Any] = _shared(env.common, env.shared)
    return values | {stem: _shared(section, env.shared.get(stem)) for stem, section in env.sections.items()}


def _shared(value: Any, raw: Any) -> Any:
    """The value with each `per_env` field replaced by what system.yaml holds, or left out."""
    if isinstance(value, BaseModel):
        below = raw if isinstance(raw, dict) else {}
        found: dict[str, Any] = {}
        for name, field in type(value).model_fields.items():
            key = field.alias or name
            if not is_per_env(field):
                found[key] = _shared(getattr(value, name), below.get(key))
            elif key in below:
                found[key] = below[key]
        return found
    if isinstance(value, dict):
        below = raw if isinstance(raw, dict) else {}
        return {key: _shared(item, below.get(key)) for key, item in value.items()}
    if isinstance(value, list):
        items = raw if isinstance(raw, list) and len(raw) == len(value) else [None] * len(value)
        return [_shared(item, below) for item, below in zip(value, items, strict=True)]
    return value


def files_digest(root: Path) -> str:
    """SHA-256 of the names and contents of deploys, facts and templates, both layers as one."""
    total = hashlib.sha256()
    for folder in FOLDERS:
        for name, path in sorted(project.files(folder, root).items()):
            content = hashlib.sha256(path.read_bytes()).hexdigest()
            total.update(f"{folder}/{name}\0{content}\n".encode())
    return total.hexdigest()


def _digest(value: Any) -> str:
    """SHA-256 of the value as JSON with sorted keys."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()
