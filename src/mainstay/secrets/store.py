"""The secrets of one environment: read by name, opened late, written atomically by one writer at a time."""

from __future__ import annotations

import builtins
import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path

from mainstay.errors import SecretError
from mainstay.secrets import document, writing
from mainstay.secrets.document import Document, Entry
from mainstay.secrets.generator import Needed
from mainstay.secrets.identity import create_identity, decrypt, encrypt, identity_path, load_identity
from mainstay.secrets.masking import MIN_CHARS, remember
from mainstay.secrets.placeholder import NAME, PLACEHOLDER, placeholder
from mainstay.secrets.secret import Secret


@dataclass(frozen=True)
class Generated:
    """What `SecretStore.generate` did: names made, names whose value only an issuer can give, a new identity if any."""

    made: list[str]
    by_hand: list[str]
    new_identity: Path | None


class SecretStore:
    """`secrets.<env>.yaml` of one environment. Names are plain; values are decrypted when they are revealed.

    A file that does not exist is an empty store; the first write makes it, for the operator's own identity.
    """

    def __init__(self, path: Path, contents: Document | None) -> None:
        self.path = path
        self._contents = contents
        self._opened: dict[str, str] = {}  # by ciphertext

    @classmethod
    def open(cls, path: Path) -> SecretStore:
        """Reads the file's names, versions and dates; no identity is needed for that.

        Raises:
            SecretError: the file cannot be read or is damaged.
        """
        return cls(path, _read(path))

    def names(self) -> list[str]:
        """Names of all secrets, sorted."""
        return sorted(self.entries())

    def entries(self) -> Mapping[str, Entry]:
        """Name -> version, date and ciphertext."""
        return self._contents.entries if self._contents else {}

    def recipients(self) -> tuple[str, ...]:
        """Public keys that each value is encrypted for."""
        return self._contents.recipients if self._contents else ()

    def get(self, name: str) -> Secret:
        """The secret of that name; nothing is decrypted before `reveal()`.

        Raises:
            SecretError: the store has no such secret.
        """
        entry = self.entries().get(name)
        if entry is None:
            raise SecretError(f"{self.path}: no secret {name}, make it with `mainstay secrets generate` or `set`")
        return Secret(name, entry.version, lambda: self._decrypt(name, entry))

    def set(self, name: str, value: str) -> int:
        """Stores `value` as the next version of `name` and gives that version.

        Raises:
            SecretError: the name or the value cannot be stored, the file is damaged or held by another writer.
        """
        return self.update({name: value})[name]

    def update(self, values: Mapping[str, str | None]) -> dict[str, int]:
        """Sets several secrets, or removes those given as None, in one write; gives the versions that were set.

        Raises:
            SecretError: as `set()`; then nothing is written.
        """
        for name, value in values.items():
            self._check(name, value)
        with self._writing() as current:
            return self._apply(current, values)

    def rekey(self) -> int:
        """Encrypts every value anew for the recipients that the file lists now; versions and dates stay.

        Returns the number of values.

        Raises:
            SecretError: a value cannot be opened, or a recipient is unknown; then nothing is written.
        """
        with self._writing() as current:
            where = f"{self.path}: recipients"
            values = {name: self._decrypt(name, entry) for name, entry in current.entries.items()}
            entries = {
                name: entry.model_copy(update={"value": encrypt(values[name], current.recipients, where)})
                for name, entry in current.entries.items()
            }
            self._save(current.with_entries(entries))
        return len(entries)

    def generate(self, needed: Iterable[Needed]) -> Generated:
        """Makes every needed secret that is missing; what exists stays as it is, so a second call makes nothing.

        Without a file and without an identity, the operator's age identity is made first.

        Raises:
            SecretError: as `set()`.
        """
        with writing.held(self.path):
            current = _read(self.path)
            new_identity = None if current or identity_path().exists() else identity_path()
            if new_identity:
                create_identity(new_identity)
            current = current or Document.new(load_identity(identity_path()).recipients)
            missing = [need for need in needed if need.name not in current.entries]
            values = {need.name: need.generator.generate() for need in missing if need.generator is not None}
            self._apply(current, values)
        by_hand = [need.name for need in missing if need.generator is None]
        return Generated(sorted(values), sorted(by_hand), new_identity)

    def resolve(self, text: str) -> str:
        """`text` with every `<secret NAME@version>` replaced by its value; values are not searched in turn.

        Raises:
            SecretError: a name or version that the store does not hold, or a value that cannot be opened.
        """
        return PLACEHOLDER.sub(self._value_of, text)

    def placeholders(self, text: str) -> builtins.set[str]:
        """Names of the secrets whose placeholders stand in `text`."""
        return {match["name"] for match in PLACEHOLDER.finditer(text)}

    def _value_of(self, match: re.Match[str]) -> str:
        secret = self.get(match["name"])
        if secret.version != int(match["version"]):
            raise SecretError(f"{self.path}: {secret.name} is at version {secret.version}, not {match['version']}")
        value = secret.reveal()
        return hashlib.sha256(value.encode()).hexdigest() if match["form"] else value

    def _decrypt(self, name: str, entry: Entry) -> str:
        if entry.value not in self._opened:
            self._opened[entry.value] = decrypt(entry.value, load_identity(identity_path()), f"{self.path}: {name}")
        return self._opened[entry.value]

    def _check(self, name: str, value: str | None) -> None:
        if not NAME.fullmatch(name):
            raise SecretError(f"{self.path}: {name!r} is not a name, expected capitals, digits and _, a letter first")
        if value is None:
            return
        reason = _refusal(value)
        if reason:
            raise SecretError(f"{self.path}: {name}: the value {reason}")

    def _apply(self, current: Document, values: Mapping[str, str | None]) -> dict[str, int]:
        changes = {name: self._next(current, name, value) for name, value in values.items()}
        if changes:
            self._save(current.with_entries(changes))
        return {name: entry.version for name, entry in changes.items() if entry is not None}

    def _next(self, current: Document, name: str, value: str | None) -> Entry | None:
        if value is None:
            return None
        before = current.entries.get(name)
        version = before.version + 1 if before else 1
        remember(value, placeholder(name, version))
        block = encrypt(value, current.recipients, f"{self.path}: recipients")
        return Entry(version=version, created=today(), value=block)

    @contextmanager
    def _writing(self) -> Iterator[Document]:
        """The file as it is now, held against a second writer until the block ends."""
        with writing.held(self.path):
            yield _read(self.path) or Document.new(load_identity(identity_path()).recipients)

    def _save(self, contents: Document) -> None:
        writing.replace(self.path, contents.text())
        self._contents = contents


def today() -> date:
    """The date (UTC) that new versions carry."""
    return datetime.now(UTC).date()


def _refusal(value: str) -> str:
    if "\0" in value:
        return "holds a NUL character, which no environment file or command can carry"
    if len(value) < MIN_CHARS or not value.strip():
        return f"has fewer than {MIN_CHARS} characters or only blanks, it could not be hidden in what is printed"
    try:
        value.encode()
    except UnicodeEncodeError:
        return "is not valid Unicode text"
    return ""


def _read(path: Path) -> Document | None:
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return None
    except OSError as error:
        raise SecretError(f"{path}: cannot read the secrets ({error.strerror})") from None
    except UnicodeDecodeError:
        raise SecretError(f"{path}: not a text file, restore the file from git or a backup") from None
    return document.parse(path, text)
