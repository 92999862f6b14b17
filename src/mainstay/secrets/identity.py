"""age identities and recipients: the one module that touches pyrage.

The identity is the file named by MAINSTAY_AGE_IDENTITY, else ~/.config/mainstay/identity.txt. It holds age secret keys,
or it is an SSH key (ed25519 or RSA); one with a passphrase is opened in memory.
"""

from __future__ import annotations

import getpass
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import pyrage

from mainstay.errors import SecretError

VARIABLE = "MAINSTAY_AGE_IDENTITY"


@dataclass(frozen=True)
class Identity:
    """What opens values: pyrage's keys, and the public recipients that belong to them."""

    keys: Sequence[Any] = field(repr=False)
    recipients: tuple[str, ...]


def identity_path() -> Path:
    """Where this operator's identity is expected; the file may not exist."""
    chosen = os.environ.get(VARIABLE)
    return Path(chosen).expanduser() if chosen else Path("~/.config/mainstay/identity.txt").expanduser()


def create_identity(path: Path) -> str:
    """Makes a new age identity, readable by its owner only, and gives its recipient.

    Raises:
        SecretError: there is one already, or the place cannot be written.
    """
    key = pyrage.x25519.Identity.generate()
    recipient = str(key.to_public())
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except OSError as error:
        raise SecretError(f"{path}: cannot write a new age identity ({error.strerror})") from error
    with os.fdopen(handle, "w") as file:
        file.write(f"# public key: {recipient}\n{key}\n")
    return recipient


def load_identity(path: Path) -> Identity:
    """Reads the identity file; asks for the passphrase of an encrypted SSH key once a process.

    Raises:
        SecretError: no file, readable by others, not an identity, a kind that age does not know, a wrong passphrase.
    """
    try:
        status = path.stat()
    except OSError:
        remedy = f"name yours in {VARIABLE} or run `mainstay secrets generate`"
        raise SecretError(f"{path}: no age identity here, {remedy}") from None
    if status.st_mode & 0o077:
        mode = f"mode {status.st_mode & 0o777:04o}"
        raise SecretError(f"{path}: {mode} lets others read this identity, run `chmod 600 {path}`")
    return _load(path, status.st_mtime_ns)


@lru_cache(maxsize=8)
def _load(path: Path, _changed: int) -> Identity:
    try:
        data = path.read_bytes()
    except OSError as error:
        raise SecretError(f"{path}: cannot read this identity ({error.strerror})") from None
    if b"PRIVATE KEY-----" in data:
        return _ssh_identity(path, data)
    lines = [line.strip() for line in data.decode(errors="replace").splitlines()]
    try:
        keys = [pyrage.x25519.Identity.from_str(line) for line in lines if line and not line.startswith("#")]
    except pyrage.IdentityError:
        keys = []
    if not keys:
        raise SecretError(f"{path}: found no identity, expected AGE-SECRET-KEY-1... or an SSH private key")
    return Identity(keys, tuple(str(key.to_public()) for key in keys))


def _ssh_identity(path: Path, data: bytes) -> Identity:
    # Most identities are age's own; cryptography takes 50 ms to import.
    from cryptography.hazmat.primitives import serialization

    key = _open_ssh_key(path, data)
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.OpenSSH, serialization.NoEncryption()
    )
    public = key.public_key().public_bytes(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH)
    try:
        return Identity([pyrage.ssh.Identity.from_buffer(private)], (public.decode(),))
    except pyrage.IdentityError:
        kind = public.split()[0].decode()
        raise SecretError(f"{path}: found a key of type {kind}, expected ssh-ed25519 or ssh-rsa") from None


def _open_ssh_key(path: Path, data: bytes) -> Any:
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives import serialization

    openssh = b"BEGIN OPENSSH PRIVATE KEY" in data
    load: Any = serialization.load_ssh_private_key if openssh else serialization.load_pem_private_key
    try:
        return load(data, None)
    except TypeError:
        passphrase = _ask_passphrase(path)
    except (ValueError, UnsupportedAlgorithm):
        raise SecretError(f"{path}: this SSH private key is damaged or of a kind that cannot be read") from None
    try:
        return load(data, passphrase.encode())
    except (ValueError, TypeError):
        raise SecretError(f"{path}: the passphrase does not open this SSH key") from None


def _ask_passphrase(path: Path) -> str:
    try:
        os.close(os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY))
    except OSError:
        raise SecretError(f"{path}: this SSH key has a passphrase and there is no terminal to ask for it") from None
    return getpass.getpass(f"Passphrase for {path}: ")


def encrypt(value: str, recipients: Sequence[str], where: str) -> str:
    """An armored age block that each of `recipients` can open; `where` names their list in errors.

    Raises:
        SecretError: no recipient, or one that age does not know.
    """
    if not recipients:
        raise SecretError(f"{where}: found no recipient, expected at least one age1... or ssh- public key")
    block: bytes = pyrage.encrypt(value.encode(), [_recipient(text, where) for text in recipients], armored=True)
    return block.decode()


def _recipient(text: str, where: str) -> Any:
    kind = pyrage.ssh.Recipient if text.startswith("ssh-") else pyrage.x25519.Recipient
    try:
        return kind.from_str(text)
    except pyrage.RecipientError:
        raise SecretError(f"{where}: found {text!r}, expected an age1... or ssh- public key") from None


def decrypt(block: str, identity: Identity, where: str) -> str:
    """The text inside an armored age block; `where` names the secret in errors.

    Raises:
        SecretError: encrypted for others, or damaged.
    """
    try:
        data: bytes = pyrage.decrypt(block.encode(), identity.keys)
        return data.decode()
    except pyrage.DecryptError as error:
        if "No matching keys" in str(error):
            mine = ", ".join(identity.recipients)
            raise SecretError(f"{where}: not encrypted for your identity ({mine}), ask a recipient to add it") from None
        raise SecretError(f"{where}: the age block is damaged, restore the file from git or a backup") from None
    except UnicodeDecodeError:
        raise SecretError(f"{where}: the age block does not hold text, set the secret again") from None
