"""Log files and their folders as they are; what is in them is nobody's business here."""

from __future__ import annotations

import re
import shlex

from pyinfra.api import FactBase
from typing_extensions import override

_STAT = "%U:%G %a\t%n"


class LogOwners(FactBase[dict[str, str]]):
    """Owner, group and mode (`root:adm 640`) of each of `paths` that is there."""

    @override
    def command(self, paths: list[str]) -> str:  # type: ignore[override]
        return f"stat -c '{_STAT}' -- {shlex.join(paths)} 2>/dev/null || true"

    @staticmethod
    @override
    def default() -> dict[str, str]:
        return {}

    @override
    def process(self, output: list[str]) -> dict[str, str]:
        return parse_owners(output)


def parse_owners(lines: list[str]) -> dict[str, str]:
    """Reads stat's lines; others are not ours."""
    matches = (re.fullmatch(r"(\S+:\S+ [0-7]{1,4})\t(/.*)", line) for line in lines)
    return {match[2]: match[1] for match in matches if match}
