"""Which deploy file a run applies."""

from __future__ import annotations

from pathlib import Path

from mainstay import project
from mainstay.errors import UsageError


def entry(name: str) -> Path:
    """`deploys/<name>`, the operator's own before the bundled one.

    Raises:
        UsageError: neither has it.
    """
    project.install()
    for folder in project.layers("deploys"):
        if (folder / name).is_file():
            return folder / name
    raise UsageError(f"deploys/{name}: found no such file, expected an entry file that calls what a host should be")
