"""Secrets as a type: encrypted at rest, masked wherever printed, resolved late."""

from mainstay.secrets.document import Entry
from mainstay.secrets.generator import Generator, Needed
from mainstay.secrets.masking import mask, remember
from mainstay.secrets.placeholder import PLACEHOLDER
from mainstay.secrets.secret import Secret
from mainstay.secrets.store import Generated, SecretStore

__all__ = [
    "PLACEHOLDER",
    "Entry",
    "Generated",
    "Generator",
    "Needed",
    "Secret",
    "SecretStore",
    "mask",
    "remember",
]
