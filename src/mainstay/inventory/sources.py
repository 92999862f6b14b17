"""Where each value of a merged inventory came from, so that a message can say file and line."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from mainstay.errors import Problem
from mainstay.inventory.yamlfile import Document, KeyPath, dotted


@dataclass
class Sources:
    """The files of an environment, the one that wins last.

    Attributes:
        documents: the files.
        under: where a part of the inventory is laid under another: the upper path, and the one below it.
    """

    documents: Sequence[Document] = field(default_factory=list)
    under: Mapping[KeyPath, KeyPath] = field(default_factory=dict)

    def place(self, key: KeyPath) -> str:
        """`file:line` of the key, or of the nearest key above it that a file holds."""
        for length in range(len(key), 0, -1):
            for document in reversed(self.documents):
                line = document.lines.get(key[:length])
                if line is not None:
                    return f"{document.file}:{line}"
        return self.documents[0].file if self.documents else ""

    def problem(self, key: KeyPath, found: str, expected: str) -> Problem:
        """The fault at this key, or at the one below it that the value comes from."""
        key = self.standing(key)
        return Problem(self.place(key), dotted(key), found, expected)

    def only_shared(self, key: KeyPath) -> bool:
        """Whether the last file, the environment's own, has nothing at the key."""
        return bool(self.documents) and not {key, self._below(key)} & self.documents[-1].lines.keys()

    def standing(self, key: KeyPath) -> KeyPath:
        """The path at which the value stands: the key itself, or what is laid under it where that alone has it."""
        below = self._below(key)
        return below if len(key) - len(below) + self._depth(below) > self._depth(key) else key

    def _below(self, key: KeyPath) -> KeyPath:
        for upper, lower in self.under.items():
            if key[: len(upper)] == upper:
                return (*lower, *key[len(upper) :])
        return key

    def _depth(self, key: KeyPath) -> int:
        """How much of the path a file holds."""
        lengths = range(len(key), 0, -1)
        return next((n for n in lengths if any(key[:n] in document.lines for document in self.documents)), 0)
