"""What operations tell the plan beyond "would change": diffs of files and reasons, kept by host and operation.

An operation calls `note()` while pyinfra prepares it; `mainstay plan` reads the notes back. Under plain pyinfra nobody
reads them, and nothing else differs.
"""

from __future__ import annotations

import difflib
from collections import defaultdict
from dataclasses import dataclass

from pyinfra import host

IRREVERSIBLE = "irreversible"


@dataclass(frozen=True)
class Note:
    """One line of explanation, or one diff (unified, secrets masked), of an operation on a host."""

    subject: str
    text: str
    pending: bool = False
    """Wanted, and not done by this run: it waits for leave, such as a window."""


_notes: dict[tuple[str, str], list[Note]] = defaultdict(list)


def note(subject: str, text: str, *, pending: bool = False) -> None:
    """Adds a note to the operation that pyinfra prepares, or executes, at the moment on its current host.

    Args:
        subject: what it is about: a path, a setting.
        text: a sentence, or a diff.
        pending: the note is about something that is wanted and waits; a run names it at its end.
    """
    key = (host.name, host.executing_op_hash or host.current_op_hash or "")
    entry = Note(subject, text, pending)
    if entry not in _notes[key]:
        _notes[key].append(entry)


def notes_of(host_name: str, op_hash: str) -> list[Note]:
    """The notes of one operation on one host, in the order they were made."""
    return list(_notes.get((host_name, op_hash), []))


def unified_diff(path: str, before: str | None, after: str) -> str:
    """A unified diff of one file; `before` is None where nothing stands yet."""
    lines = difflib.unified_diff(
        (before or "").splitlines(keepends=True),
        after.splitlines(keepends=True),
        fromfile=path if before is not None else "/dev/null",
        tofile=path,
    )
    return "".join(line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n" for line in lines)


def irreversible(text: str) -> None:
    """Declares, before the first yield, what a put-back cannot undo ("packages installed: nginx"); reports name it."""
    note(IRREVERSIBLE, text)


def failure(text: str) -> None:
    """Keeps the sentence that says why the current operation fails on the current host."""
    note("error", text)
