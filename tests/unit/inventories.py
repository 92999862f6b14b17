"""Projects for tests of the inventory: the shipped one, copied and changed."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

from mainstay.errors import InventoryError, Problem
from mainstay.inventory import Environment, load

SHIPPED = Path(__file__).parents[2] / "inventories"
SYSTEM = "everydayai"
SYSTEMS = sorted(path.parent.name for path in SHIPPED.glob("*/system.yaml"))
"""Every system that is shipped."""

Edit = tuple[str, str, str]
"""A file of the system, a piece of its text, and what to put in its place."""


def copied(folder: Path, *edits: Edit, system: str = SYSTEM) -> Path:
    """A project with a shipped system, edited; no secrets and no releases."""
    source, target = SHIPPED / system, folder / "inventories" / system
    target.mkdir(parents=True)
    for name in ("system.yaml", "staging.yaml", "production.yaml", "releases.yaml"):
        shutil.copy(source / name, target / name)
    (target / "releases.yaml").write_text("releases: {}\n")
    for file, old, new in edits:
        path = target / file
        text = path.read_text(encoding="utf-8")
        assert text.count(old) >= 1, f"{file} no longer holds {old!r}"
        path.write_text(text.replace(old, new, 1), encoding="utf-8")
    return folder


def unwatched(root: Path) -> Path:
    """The project, its system without monitoring: no such section and no such hosts."""
    folder = root / "inventories" / SYSTEM
    for file, piece in {
        "system.yaml": r"(?ms)^monitoring:\n.*?(?=^\S)",
        "staging.yaml": r"(?m)^ +\S+: \{.*roles: \[monitoring\].*\n",
        "production.yaml": r"(?m)^ +\S+: \{.*roles: \[monitoring\].*\n",
    }.items():
        text, found = re.subn(piece, "", (folder / file).read_text(encoding="utf-8"))
        assert found == 1, f"{file} has monitoring {found} times"
        (folder / file).write_text(text, encoding="utf-8")
    return root


def problems(root: Path, env: str = "production", system: str = SYSTEM) -> list[Problem]:
    """What loading finds wrong; empty when nothing is."""
    try:
        load(system, env, root=root)
    except InventoryError as error:
        return error.problems
    return []


def messages(root: Path, env: str = "production", system: str = SYSTEM) -> list[str]:
    """The problems as people read them, without file and line."""
    return [str(problem).removeprefix(f"{problem.file}: ") for problem in problems(root, env, system)]


def loaded(root: Path, env: str = "production") -> Environment:
    """The environment, which has no faults."""
    return load(SYSTEM, env, root=root)
