"""A secret is a type, not a string: printing one gives its placeholder, and only `reveal()` gives its value."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable

from mainstay.secrets.masking import remember
from mainstay.secrets.placeholder import placeholder


class Secret:
    """A named, versioned value that is opened late and never by accident.

    `str()`, `repr()` and `format()` give `<secret NAME@version>`. Two secrets are equal when name and version are.
    """

    __slots__ = ("_reveal", "name", "version")

    def __init__(self, name: str, version: int, reveal: Callable[[], str]) -> None:
        self.name = name
        self.version = version
        self._reveal = reveal

    @property
    def placeholder(self) -> str:
        """What stands for this secret wherever it is rendered or printed."""
        return placeholder(self.name, self.version)

    @property
    def sha256(self) -> str:
        """What stands for the SHA-256 (hex) of the value, for programs that keep a password's hash only."""
        return f"{self.placeholder[:-1]} sha256>"

    def reveal(self) -> str:
        """The value itself; from now on `mask()` hides it in whatever this process prints.

        Raises:
            SecretError: the value cannot be opened; the message never holds it.
        """
        value = self._reveal()
        remember(value, self.placeholder)
        return value

    def digest(self, salt: str) -> str:
        """HMAC-SHA-256 (hex) of the value under `salt`: equal values show without being shown (EV-02, EV-13)."""
        return hmac.new(salt.encode(), self.reveal().encode(), hashlib.sha256).hexdigest()

    def __str__(self) -> str:
        return self.placeholder

    def __repr__(self) -> str:
        return self.placeholder

    def __format__(self, spec: str) -> str:
        # A width or precision would cut the placeholder, and `resolve()` would not find it again.
        return self.placeholder

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and (self.name, self.version) == (other.name, other.version)

    def __hash__(self) -> int:
        return hash((self.name, self.version))
