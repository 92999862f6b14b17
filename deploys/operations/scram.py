"""SCRAM-SHA-256 verifiers, as PostgreSQL keeps them: made and checked here, so no server ever sees the password."""

from __future__ import annotations

import base64
import hashlib
import hmac
import os

from mainstay.errors import SecretError

ITERATIONS = 4096
_SALT_BYTES = 16


def verifier(password: str, salted: str | None = None) -> str:
    """What pg_authid holds for the password (RFC 5803).

    Args:
        password: printable ASCII; other text would have to be normalised exactly as the server does it (SASLprep).
        salted: `SCRAM-SHA-256$<iterations>:<salt>` of a verifier that exists; a new salt without it.

    Raises:
        SecretError: the password holds other characters.
    """
    if not password.isascii() or not password.isprintable():
        raise SecretError(
            "a database password: found characters beyond printable ASCII, expected none; "
            "`mainstay secrets generate` makes such a value"
        )
    iterations, salt = _parameters(salted)
    key = hashlib.pbkdf2_hmac("sha256", password.encode(), salt, iterations)
    stored = hashlib.sha256(_sign(key, b"Client Key")).digest()
    server = _sign(key, b"Server Key")
    return f"SCRAM-SHA-256${iterations}:{_text(salt)}${_text(stored)}:{_text(server)}"


def matches(password: str, salted: str | None, digest: str | None) -> bool:
    """Whether the verifier of which only salt, iterations and SHA-256 (hex) are known is the password's."""
    if salted is None or digest is None:
        return False
    made = hashlib.sha256(verifier(password, salted).encode()).hexdigest()
    return hmac.compare_digest(made, digest)


def _parameters(salted: str | None) -> tuple[int, bytes]:
    if salted is None:
        return ITERATIONS, os.urandom(_SALT_BYTES)
    iterations, _, salt = salted.removeprefix("SCRAM-SHA-256$").partition(":")
    return int(iterations), base64.b64decode(salt)


def _sign(key: bytes, text: bytes) -> bytes:
    return hmac.new(key, text, hashlib.sha256).digest()


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode()
