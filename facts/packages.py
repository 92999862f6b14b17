"""Which packages a host lacks."""

from __future__ import annotations

import shlex

from pyinfra.api import FactBase
from typing_extensions import override


class MissingPackages(FactBase[list[str]]):
    """Those of `packages` that dpkg does not call installed, in the order given."""

    @override
    def command(self, packages: list[str]) -> str:  # type: ignore[override]
        names = " ".join(shlex.quote(name) for name in packages)
        return (
            f"printf 'wanted\\t%s\\n' {names}; "
            f"dpkg-query -W -f='${{db:Status-Status}}\\t${{Package}}\\n' {names} 2>/dev/null; true"
        )

    @staticmethod
    @override
    def default() -> list[str]:
        return []

    @override
    def process(self, output: list[str]) -> list[str]:
        return parse_missing(output)


def parse_missing(lines: list[str]) -> list[str]:
    """Reads `wanted NAME` and dpkg's `STATUS NAME`, separated by tabs; one that dpkg never heard of has no status."""
    rows = [line.split("\t") for line in lines]
    installed = {row[1] for row in rows if row[0] == "installed" and len(row) == 2}
    return [row[1] for row in rows if row[0] == "wanted" and len(row) == 2 and row[1] not in installed]
