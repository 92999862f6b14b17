"""The files of a component as they are: one question for all of them."""

from __future__ import annotations

import shlex
from dataclasses import dataclass

from pyinfra.api import FactBase
from typing_extensions import override


@dataclass(frozen=True)
class FileState:
    """Owner, group, mode (octal integer), and SHA-256 (hex) of one file that exists."""

    owner: str
    group: str
    mode: int
    sha256: str


class FileStates(FactBase[dict[str, FileState]]):
    """State of each of `paths` that exists as a regular file; what is missing is not in the answer."""

    @override
    def command(self, paths: list[str]) -> str:  # type: ignore[override]
        quoted = " ".join(shlex.quote(path) for path in paths)
        return (
            f'for p in {quoted}; do [ -f "$p" ] && '
            "printf '%s\\t%s\\n' \"$(stat -c '%U\\t%G\\t%a' \"$p\" | sed 's/\\\\t/\\t/g')\" "
            '"$(sha256sum < "$p" | cut -c1-64)\t$p"; done; true'
        )

    @staticmethod
    @override
    def default() -> dict[str, FileState]:
        return {}

    @override
    def process(self, output: list[str]) -> dict[str, FileState]:
        return parse_states(output)


def parse_states(lines: list[str]) -> dict[str, FileState]:
    """Reads `owner group mode sha256 path`, separated by tabs; lines of another shape are not ours and are ignored."""
    states = {}
    for line in lines:
        fields = line.split("\t", 4)
        if len(fields) == 5 and fields[2].isdigit():
            owner, group, mode, sha256, path = fields
            states[path] = FileState(owner, group, int(mode, 8), sha256)
    return states


class FileText(FactBase[str | None]):
    """Text of one file for a diff, at most 256 KiB; None where there is none."""

    @override
    def command(self, path: str) -> str:  # type: ignore[override]
        quoted = shlex.quote(path)
        return f"if [ -f {quoted} ]; then echo present; head -c 262144 {quoted}; fi"

    @staticmethod
    @override
    def default() -> str | None:
        return None

    @override
    def process(self, output: list[str]) -> str | None:
        if not output:
            return None
        return "".join(f"{line}\n" for line in output[1:])
