"""The doors to the parts that the model only looks through: the secret store of an environment, the lab's overlay."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from mainstay.errors import SecretError
from mainstay.secrets import Secret, SecretStore

if TYPE_CHECKING:
    from mainstay.lab.overlay import Overlay


def secrets_file(root: Path, system: str, env: str) -> Path:
    """Where the environment's encrypted values are."""
    return root / "inventories" / system / f"secrets.{env}.yaml"


class AbsentStore(SecretStore):
    """The store of an environment whose file does not exist yet: it names secrets, and opens none.

    So a fresh clone renders and checks; whatever would send a value to a host fails on its name.
    """

    def get(self, name: str) -> Secret:
        """A secret of version 1, the one that will be generated; revealing it raises `SecretError`."""
        return Secret(name, 1, lambda: self._refuse(name))

    def _refuse(self, name: str) -> str:
        raise SecretError(
            f"{self.path}: no such file, expected it to hold {name}; `mainstay secrets generate` makes it"
        )


def secret_store(root: Path, system: str, env: str) -> SecretStore:
    """The environment's store, without decrypting anything.

    Raises:
        SecretError: the file is damaged.
    """
    path = secrets_file(root, system, env)
    return SecretStore.open(path) if path.exists() else AbsentStore(path, None)


def overlay(lab: str, system: str) -> Overlay:
    """Where the lab put the system's hosts.

    Raises:
        LabError: the lab is not up, or has no hosts of this system.
    """
    from mainstay.lab.overlay import read_overlay

    return read_overlay(lab, system)


def lab_from_environment() -> str | None:
    """The lab that `MAINSTAY_LAB` asks for: `1` is the lab called lab, another word is a lab of that name."""
    named = os.environ.get("MAINSTAY_LAB", "")
    if named in ("", "0"):
        return None
    return "lab" if named == "1" else named
