"""The file `secrets.<env>.yaml`: names, versions and dates readable in a diff, each value an age block of its own.

recipients:
  - age1...
secrets:
  JWT_SECRET_KEY:
    version: 2
    created: 2026-11-22
    value: |
      -----BEGIN AGE ENCRYPTED FILE-----
      ...
"""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import date
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any

import yaml
from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from mainstay.errors import SecretError
from mainstay.secrets.placeholder import NAME

_ARMOR = r"^-----BEGIN AGE ENCRYPTED FILE-----\n[A-Za-z0-9+/=\n]+\n-----END AGE ENCRYPTED FILE-----\n?$"
_RESTORE = "restore the file from git or a backup"
_EXPECTED = {
    "recipients": "a list of age1... or ssh- public keys",
    "secrets": "a mapping of names to {version, created, value}",
    "version": "a whole number of 1 or more",
    "created": "a date such as 2026-11-22",
    "value": "an armored age block",
}


class Entry(BaseModel):
    """One secret as it stands in the file: `value` is armored ciphertext."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    version: Annotated[int, Field(ge=1, le=999_999_999, strict=True)]
    created: date
    value: Annotated[str, StringConstraints(pattern=_ARMOR)]

    def age_days(self, today: date) -> int:
        """Days since this version was made."""
        return (today - self.created).days

    def due(self, today: date, rotation_days: int) -> bool:
        """Whether this version is older than `rotation_days` (SE-03: at 92, day 93 is due and day 90 is not)."""
        return self.age_days(today) > rotation_days


class _Contents(BaseModel):
    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    recipients: list[str]
    secrets: dict[Annotated[str, StringConstraints(pattern=rf"^{NAME.pattern}$")], Entry] = Field(default_factory=dict)


@dataclass(frozen=True)
class Document:
    """The parsed file; `head` is its text before `secrets:`, kept as it is so that comments on recipients stay."""

    head: str
    recipients: tuple[str, ...]
    entries: Mapping[str, Entry] = field(default_factory=dict)

    @classmethod
    def new(cls, recipients: tuple[str, ...]) -> Document:
        """An empty file for these recipients."""
        lines = ["# Written by `mainstay secrets`; every value is readable for these recipients only.", "recipients:"]
        return cls("\n".join([*lines, *(f"  - {recipient}" for recipient in recipients)]) + "\n", recipients)

    def with_entries(self, changes: Mapping[str, Entry | None]) -> Document:
        """This document with some entries set, or removed where the change is None."""
        merged = {**self.entries, **changes}
        return replace(self, entries={name: entry for name, entry in merged.items() if entry is not None})

    def text(self) -> str:
        """The file's text: names sorted, entries that did not change byte for byte as they were."""
        entries = "\n".join(_entry_text(name, entry) for name, entry in sorted(self.entries.items()))
        return f"{self.head}secrets:\n{entries}" if entries else f"{self.head}secrets: {{}}\n"


@lru_cache(maxsize=4)  # one command reads the same files again and again; what is parsed is as encrypted as the file
def parse(path: Path, text: str) -> Document:
    """Reads the file's text.

    Raises:
        SecretError: it is not such a file. The message holds places and expectations, never what stands there: a value
            that was pasted in by mistake must not be printed.
    """
    try:
        raw: Any = yaml.load(text, Loader=_StrictLoader)  # noqa: S506 - a SafeLoader
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise SecretError(f"{path}: line {line} is not valid YAML ({error.problem}), {_RESTORE}") from None
    except yaml.YAMLError:
        raise SecretError(f"{path}: not valid YAML, {_RESTORE}") from None
    try:
        contents = _Contents.model_validate(raw)
    except ValidationError as error:
        raise SecretError(f"{path}: {_first_problem(error)}") from None
    head, found, _ = f"\n{text}".partition("\nsecrets:")
    head = f"{head[1:]}\n" if found else f"{text.rstrip()}\n"
    return Document(head, tuple(contents.recipients), contents.secrets)


class _StrictLoader(yaml.SafeLoader):
    """Refuses a name that stands twice, as a badly resolved merge leaves it."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[str] = set()
        for key, _ in node.value:
            if key.value in seen:
                raise yaml.constructor.ConstructorError(None, None, f"{key.value} stands twice", key.start_mark)
            seen.add(str(key.value))
        mapping: dict[Any, Any] = super().construct_mapping(node, deep)
        return mapping


def _first_problem(error: ValidationError) -> str:
    first = error.errors(include_input=False, include_url=False)[0]
    location = [str(part) for part in first["loc"]]
    if location and location[-1] == "[key]":
        return f"{'.'.join(location[:-1])}: found this name, expected capitals, digits and _"
    where = ".".join(location)
    if first["type"] == "extra_forbidden":
        return f"{where}: found this key, expected only {', '.join(_EXPECTED)}"
    found = "nothing" if first["type"] == "missing" else "something else"
    key = next((part for part in reversed(location) if part in _EXPECTED), "")
    return f"{where or 'the file'}: found {found}, expected {_EXPECTED.get(key, 'recipients and secrets')}"


def _entry_text(name: str, entry: Entry) -> str:
    block = textwrap.indent(entry.value.rstrip("\n"), " " * 6)
    return f"  {name}:\n    version: {entry.version}\n    created: {entry.created}\n    value: |\n{block}\n"
