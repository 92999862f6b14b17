"""A file that Mainstay manages: what should stand where, and how a set of them travels to a host."""

from __future__ import annotations

import hashlib
import io
import secrets
import tarfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True)
class ManagedFile:
    """One file as it should be.

    `content` is text in which a secret stands as `<secret NAME@version>`; the value is put in only while the file
    travels. `mode` is an octal integer such as 0o644.
    """

    path: str
    content: str
    owner: str = "root"
    group: str = "root"
    mode: int = 0o644

    def digest(self, resolve: Callable[[str], str]) -> str:
        """SHA-256 (hex) of the content with its secrets in place."""
        return hashlib.sha256(resolve(self.content).encode()).hexdigest()


@dataclass(frozen=True)
class FileSet:
    """Files that count together: all are put in place, checked and activated as one step, or none is.

    `check` and `activate` are shell commands run on the host with every file in place (`nginx -t`,
    `systemctl reload nginx`); where one fails the host puts all files back. `units` have their state journalled.
    `deadman` is the number of seconds after which the host undoes the step unless a new connection confirms it, naming
    `token`. `in_effect` is a shell command that fails where the files stand and do not count (a ruleset that somebody
    flushed): then the set is put in place and activated again. In the folders of `only` nothing but the set's own files
    stays (names that start with a dot apart).
    """

    files: Sequence[ManagedFile]
    remove: Sequence[str] = field(default=())
    check: str = ""
    activate: str = ""
    units: Sequence[str] = field(default=())
    deadman: int | None = None
    in_effect: str = ""
    only: Sequence[str] = field(default=())
    token: str = field(default_factory=lambda: secrets.token_hex(8), compare=False)

    def archive(self, resolve: Callable[[str], str]) -> bytes:
        """The tar that `install-files` reads on the host, secrets resolved; it goes by stdin, never by argv."""
        manifest = "".join(f"{f.mode:o}\t{f.owner}\t{f.group}\t{f.path}\n" for f in self.files)
        members = {
            "manifest": manifest,
            "remove": _lines(self.remove),
            "check": self.check,
            "activate": self.activate,
            "units": _lines(self.units),
            "deadman": f"{self.deadman} {self.token}\n" if self.deadman else "",
        }
        for number, managed in enumerate(self.files, start=1):
            members[f"files/{number}"] = resolve(managed.content)
        members["end"] = ""
        return tar_of({name: text.encode() for name, text in members.items()})


def tar_of(members: Mapping[str, bytes], mode_of: Callable[[str], int] = lambda _: 0o600) -> bytes:
    """A tar with these members in their order; byte for byte the same for the same members.

    Args:
        mode_of: a member's mode by its name.
    """
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size, info.mode = len(data), mode_of(name)
            tar.addfile(info, io.BytesIO(data))
    return buffer.getvalue()


def _lines(values: Iterable[str]) -> str:
    return "".join(f"{value}\n" for value in values)
