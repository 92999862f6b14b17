"""Which version of Mainstay's host scripts a host has."""

from __future__ import annotations

from pyinfra.api import FactBase
from typing_extensions import override


class HostkitDigest(FactBase[str]):
    """SHA-256 (hex) over the installed host scripts, as their installation wrote it; empty where there are none."""

    command = "cat /usr/local/lib/mainstay/digest 2>/dev/null || true"

    @staticmethod
    @override
    def default() -> str:
        return ""

    @override
    def process(self, output: list[str]) -> str:
        return output[0].strip() if output else ""
