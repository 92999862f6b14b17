"""What a static site serves."""

from __future__ import annotations

import shlex
from dataclasses import dataclass

from pyinfra.api import FactBase
from typing_extensions import override


@dataclass(frozen=True)
class Published:
    """The live version, and the digest of the settings that its index was filled with; empty where nothing is live."""

    version: str = ""
    settings: str = ""


class LiveSite(FactBase[Published]):
    """The site below `base` (`/srv/<system>/<service>`)."""

    @override
    def command(self, base: str) -> str:  # type: ignore[override]
        folder = shlex.quote(base)
        return f"readlink {folder}/current 2>/dev/null && cat {folder}/current/.settings 2>/dev/null; true"

    @staticmethod
    @override
    def default() -> Published:
        return Published()

    @override
    def process(self, output: list[str]) -> Published:
        return parse_site(output)


def parse_site(lines: list[str]) -> Published:
    """Reads the link's target, then the digest."""
    words = [line.strip() for line in lines if line.strip()]
    version = words[0].rpartition("/")[2] if words else ""
    return Published(version, words[1] if len(words) > 1 else "")
