"""`releases.yaml`: which version of each service is pinned, and the checksum of every artefact."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import AfterValidator, Field

from mainstay.inventory.fields import Name, StrictModel


def _version(value: str) -> str:
    if not re.fullmatch(r"[0-9A-Za-z][0-9A-Za-z.+~-]{0,63}", value):
        raise ValueError("a version such as 1.0.0: letters, digits, dots, plus, tilde and hyphen")
    return value


def _digest(value: str) -> str:
    if not re.fullmatch(r"[0-9a-f]{64}", value):
        raise ValueError("a SHA-256 checksum: 64 hexadecimal digits in lower case")
    return value


def _file(value: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,127}", value):
        raise ValueError("the name of a file in artefacts/, without a folder")
    return value


Version = Annotated[str, AfterValidator(_version)]


class Artefact(StrictModel):
    """One built release: a file in the project's `artefacts/` folder and what it must hash to."""

    file: Annotated[str, AfterValidator(_file)]
    sha256: Annotated[str, AfterValidator(_digest)]


class Release(StrictModel):
    """The version of a service that hosts should run, among those that were built."""

    version: Version
    artefacts: dict[Version, Artefact] = Field(min_length=1)

    @property
    def artefact(self) -> Artefact:
        """The pinned version's artefact (`load` has checked that there is one)."""
        return self.artefacts[self.version]


class Releases(StrictModel):
    """The whole file."""

    releases: dict[Name, Release] = Field(default_factory=dict)
