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
            f"for p in {names}; do "
            '[ "$(dpkg-query -W -f=\'${db:Status-Status}\' "$p" 2>/dev/null)" = installed ] || echo "$p"; done'
        )

    @staticmethod
    @override
    def default() -> list[str]:
        return []

    @override
    def process(self, output: list[str]) -> list[str]:
        return [line for line in output if line]
