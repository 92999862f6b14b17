"""Access tokens: JWT with HS256, checked against the current key and the one before (rotation without logouts)."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
from collections.abc import Sequence
from typing import Any


class TokenError(Exception):
    """The token is not one that this service accepts; the message says why and holds none of it."""


def issue(subject: str, key: str, minutes: int) -> str:
    """A signed token for `subject`, valid for `minutes`."""
    head = _encode({"alg": "HS256", "typ": "JWT"})
    body = _encode({"sub": subject, "exp": int(time.time()) + minutes * 60})
    return f"{head}.{body}.{_sign(f'{head}.{body}', key)}"


def subject_of(token: str, keys: Sequence[str]) -> str:
    """Whom the token was issued to.

    Raises:
        TokenError: malformed, signed by no known key, or expired.
    """
    try:
        head, body, signature = token.split(".")
        claims = _decode(body)
        known = _decode(head).get("alg") == "HS256"
        subject, expires = str(claims["sub"]), float(claims["exp"])
    except (ValueError, KeyError, TypeError, AttributeError):
        raise TokenError("malformed token") from None
    if not known or not any(hmac.compare_digest(signature, _sign(f"{head}.{body}", key)) for key in keys):
        raise TokenError("signature of no known key")
    if expires <= time.time():
        raise TokenError("expired token")
    return subject


def _sign(text: str, key: str) -> str:
    return _text(hmac.new(key.encode(), text.encode(), hashlib.sha256).digest())


def _encode(data: dict[str, Any]) -> str:
    return _text(json.dumps(data, separators=(",", ":")).encode())


def _text(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _decode(text: str) -> dict[str, Any]:
    data: dict[str, Any] = json.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
    return data
