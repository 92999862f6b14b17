"""Which questions were asked last time: commands only, never answers, in a file that nobody else can have written.

What stands in it is run as root, so it is believed only where it is this user's own, private, of this version, and
signed with this laptop's key for this very list: a file that is damaged, edited, copied from elsewhere or owned by
somebody else counts as no memory at all, and is written anew. Forgetting costs time and nothing else.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import secrets
import stat
from collections.abc import Mapping
from pathlib import Path

import mainstay
from mainstay import ssh
from mainstay.errors import SecretError
from mainstay.inventory import Environment
from mainstay.secrets.writing import held, replace
from mainstay.transport.shell import Question

# More than any host is asked; a list that grows beyond it is not worth its reading.
MOST_QUESTIONS = 5000
_FORM = 1
_KEY = "key"


def recalled(environment: Environment, purpose: str) -> Memory:
    """What this laptop remembers of a system's hosts for one purpose (`site.py`)."""
    return Memory(ssh.state_folder() / "questions", f"{environment.system} {purpose}")


def kind_of(environment: Environment, name: str) -> str:
    """What hosts that are asked about the same have in common: their roles."""
    return f"with roles {', '.join(sorted(environment.hosts[name].roles))}"


class Memory:
    """The questions of one purpose (`shop site.py`), by host name, and by what hosts of one kind have in common.

    Args:
        folder: made with mode 0700 where it is not there.
        purpose: what the questions were asked for; each has a file of its own.
    """

    def __init__(self, folder: Path, purpose: str) -> None:
        self._folder = folder
        self._purpose = purpose
        name = hashlib.sha256(purpose.encode()).hexdigest()[:24]
        self._path = folder / f"{name}.json"
        self._hosts: dict[str, list[Question]] | None = None

    def of(self, host: str, kind: str = "") -> list[Question]:
        """The questions of a host; where it has none yet, those that were kept for its kind."""
        hosts = self._load()
        return hosts.get(host) or hosts.get(kind, [])

    def keep(self, found: Mapping[str, list[Question]]) -> None:
        """Writes down what was asked of some hosts or kinds; the others' stay. Where it cannot, that is no error."""
        own = {name: questions for name, questions in found.items() if len(questions) < MOST_QUESTIONS}
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            with held(self._path):  # the processes of one verification end together, and write the same file
                self._hosts = None
                hosts = self._load() | own
                self._write(hosts)
        except (OSError, SecretError, UnicodeEncodeError):
            return
        self._hosts = hosts

    def _write(self, hosts: Mapping[str, list[Question]]) -> None:
        body = json.dumps({name: [[q.command, q.limit] for q in questions] for name, questions in hosts.items()})
        replace(self._path, json.dumps({"form": _FORM, "signed": self._sign(body), "questions": body}))

    def _load(self) -> dict[str, list[Question]]:
        if self._hosts is None:
            try:
                self._hosts = self._read()
            except (OSError, SecretError, ValueError, KeyError, TypeError, RecursionError):
                self._hosts = {}
        return self._hosts

    def _read(self) -> dict[str, list[Question]]:
        document = json.loads(_private(self._path))
        body = document["questions"]
        if document["form"] != _FORM or not hmac.compare_digest(document["signed"], self._sign(body)):
            return {}
        rows: dict[str, list[tuple[str, float]]] = json.loads(body)
        return {name: [Question(str(text), float(limit)) for text, limit in kept] for name, kept in rows.items()}

    def _sign(self, body: str) -> str:
        signed = "\n".join((mainstay.__version__, self._purpose, body))
        return hmac.new(self._key(), signed.encode("utf-8", "surrogateescape"), hashlib.sha256).hexdigest()

    def _key(self) -> bytes:
        """This laptop's key, made with its first memory.

        Raises:
            OSError, SecretError: it cannot be read or written, or is somebody else's.
        """
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        path = self._folder / _KEY
        try:
            key = bytes.fromhex(_private(path))
            if len(key) == 32:
                return key
        except (FileNotFoundError, ValueError):
            pass
        replace(path, secrets.token_hex(32))
        return bytes.fromhex(_private(path))


def _private(path: Path) -> str:
    """The text of a regular file that is this user's own and nobody else's to read or write.

    Raises:
        OSError: it is not there, or is not such a file.
    """
    with os.fdopen(os.open(path, os.O_RDONLY | os.O_NOFOLLOW), encoding="utf-8") as file:
        found = os.fstat(file.fileno())
        if not stat.S_ISREG(found.st_mode) or found.st_uid != os.geteuid() or found.st_mode & 0o077:
            raise PermissionError(f"{path}: found another's file, or one that others can read, expected mode 0600")
        return file.read()
