"""The files of a component as they are: one question for all of them."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pyinfra.api import FactBase
from typing_extensions import override

from mainstay import families

# What stat says, and sha256sum: two processes for all files, whatever their number.
_STAT = "%F\t%U\t%G\t%a\t%n"
_SUM = re.compile(r"([0-9a-f]{64}) [ *](.*)")
# Without `set --` a folder's name with a space would be split after its star was filled in.
_ASKED = families.Words("set -- ", f'; stat -c \'{_STAT}\' -- "$@" 2>/dev/null; sha256sum -- "$@" 2>/dev/null; :')


@dataclass(frozen=True)
class FileState:
    """Owner, group, mode (octal integer), and SHA-256 (hex) of one file; a link has the digest `link`."""

    owner: str
    group: str
    mode: int
    sha256: str


class FileStates(FactBase[dict[str, FileState]]):
    """State of each of `paths`, and of all that is in `folders`, that exists as a file or a link."""

    @override
    def command(self, paths: list[str], folders: list[str] | None = None) -> str:  # type: ignore[override]
        named = [shlex.quote(path) for path in paths] + [f"{shlex.quote(folder)}/*" for folder in folders or []]
        return _ASKED.command(" ".join(named))

    @staticmethod
    @override
    def default() -> dict[str, FileState]:
        return {}

    @override
    def process(self, output: list[str]) -> dict[str, FileState]:
        return parse_states(output)


def parse_states(lines: list[str]) -> dict[str, FileState]:
    """Reads stat's lines (kind, owner, group, mode, path, parted by tabs) and sha256sum's; others are not ours."""
    sums = {match[2]: match[1] for match in map(_SUM.fullmatch, lines) if match}
    states = {}
    for line in lines:
        fields = line.split("\t", 4)
        if len(fields) != 5 or not re.fullmatch("[0-7]{1,4}", fields[3]):
            continue
        kind, owner, group, mode, path = fields
        if kind.startswith("regular"):
            states[path] = FileState(owner, group, int(mode, 8), sums.get(path, ""))
        elif kind == "symbolic link":
            states[path] = FileState(owner, group, int(mode, 8), "link")
    return states


def _joined(commands: Sequence[str]) -> str:
    return _ASKED.command(" ".join(dict.fromkeys(_ASKED.of(command) or "" for command in commands)))


def _parted(commands: Sequence[str], out: bytes) -> list[bytes] | None:
    """Each command's own lines of stat and sha256sum, which both name the file."""
    states: dict[str, bytes] = {}
    sums: dict[str, bytes] = {}
    for line in out.splitlines(keepends=True):
        text = line.decode("utf-8", "surrogateescape").removesuffix("\n")
        match, fields = _SUM.fullmatch(text), text.split("\t", 4)
        if match:
            sums[match[2]] = line
        elif len(fields) == 5:
            states[fields[4]] = line
        else:  # a name with a newline in it
            return None
    parts = []
    for command in commands:
        wanted = families.words_of(_ASKED.of(command) or "")
        parts.append(b"".join(_about(states, wanted) + _about(sums, wanted)))
    return parts


def _about(lines: Mapping[str, bytes], wanted: Sequence[str]) -> list[bytes]:
    """The lines about these words: a path, or `/*` behind a folder for all in it whose name begins with no dot."""
    found: list[bytes] = []
    for word in wanted:
        path = families.unquoted(word.removesuffix("/*"))
        if word.endswith("/*"):
            below = sorted(each for each in lines if each.rpartition("/")[0] == path)
            found += [lines[each] for each in below if not each.startswith(f"{path}/.")]
        elif path in lines:
            found.append(lines[path])
    return found


families.register("files", families.Family(lambda command: _ASKED.of(command) and "", _joined, _parted))


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


class InEffect(FactBase[bool]):
    """Whether the shell command `question` succeeds."""

    @override
    def command(self, question: str) -> str:  # type: ignore[override]
        return f"if {{ {question}; }} >/dev/null 2>&1; then echo yes; fi"

    @staticmethod
    @override
    def default() -> bool:
        return False

    @override
    def process(self, output: list[str]) -> bool:
        return output == ["yes"]
