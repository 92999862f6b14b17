"""Questions of one shape, which one process on the host answers together as it would answer each by itself.

To start a program is most of what a question costs a host: psql loads its libraries in seven milliseconds and answers
in four. A fact whose questions come in numbers tells here how they are asked as one, and how the one answer is parted.
Nobody has to ask for it: what goes to a host at the same time goes together (`mainstay.transport.together`), and where
the answer cannot be parted, each question is asked by itself. Plain pyinfra asks each by itself anyway.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Family:
    """One shape of questions.

    Attributes:
        key: of a command, what those have in common that can be asked together; None for a command of another shape.
        joined: one command that asks what all of these commands ask, of one key.
        parted: each command's own standard output, from that of the joined one; None where it cannot be told.
    """

    key: Callable[[str], str | None]
    joined: Callable[[Sequence[str]], str]
    parted: Callable[[Sequence[str], bytes], list[bytes] | None]


_FAMILIES: dict[str, Family] = {}


def register(name: str, family: Family) -> Family:
    """Makes a family known; one of the same name is replaced, as when its module is loaded again."""
    _FAMILIES[name] = family
    return family


def family_of(command: str) -> tuple[Family, str] | None:
    """The family of a command, and its key there."""
    for family in _FAMILIES.values():
        key = family.key(command)
        if key is not None:
            return family, key
    return None


@dataclass(frozen=True)
class Words:
    """A command that names what it asks about in one place: `before`, then words as a shell reads them, `after`."""

    before: str
    after: str

    def command(self, words: str) -> str:
        """The command about these words, which are quoted where they need it."""
        return f"{self.before}{words}{self.after}"

    def of(self, command: str) -> str | None:
        """The words of a command of this form, still quoted; None for any other, or where there are none."""
        if not (command.startswith(self.before) and command.endswith(self.after)):
            return None
        words = command[len(self.before) : len(command) - len(self.after)]
        return words if _WORDS.fullmatch(words) else None

    def named(self, command: str) -> list[str]:
        """What a command of this form names, without quotes; nothing for any other."""
        return [unquoted(word) for word in words_of(self.of(command) or "")]


# As `shlex.quote` leaves words, and all files of a folder: no other piece of shell reads like that.
_WORD = r"(?:[a-zA-Z0-9_./@:%+=,-]|'[^']*'|\"'\")+(?:/\*)?"
_WORDS = re.compile(f"{_WORD}(?: {_WORD})*")


def words_of(text: str) -> list[str]:
    """The words of a piece of shell that `Words.of` gave, each still quoted: `'/a b'/*` is no file of that name."""
    return re.findall(f"{_WORD}(?= |$)", text)


def unquoted(word: str) -> str:
    """What a shell makes of one word without a star."""
    return "".join(shlex.split(word)) if "'" in word or '"' in word else word
