"""Where each value of a merged inventory came from, so that a message can say file and line."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from mainstay.errors import Problem
from mainstay.inventory.yamlfile import Document, KeyPath, dotted


@dataclass
class Sources:
    """The files of an environment, the one that wins last."""

    documents: Sequence[Document] = field(default_factory=list)

    def place(self, key: KeyPath) -> str:
        """`file:line` of the key, or of the nearest key above it that a file holds."""
        for length in range(len(key), 0, -1):
            for document in reversed(self.documents):
                line = document.lines.get(key[:length])
                if line is not None:
                    return f"{document.file}:{line}"
        return self.documents[0].file if self.documents else ""

    def problem(self, key: KeyPath, found: str, expected: str) -> Problem:
        """The fault at this key."""
        return Problem(self.place(key), dotted(key), found, expected)

    def only_shared(self, key: KeyPath) -> bool:
        """Whether the last file, the environment's own, has nothing at the key."""
        return bool(self.documents) and key not in self.documents[-1].lines
