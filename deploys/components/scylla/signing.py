"""Which keys an ASCII-armoured file of OpenPGP holds: their fingerprints, worked out without a keyring. Pure."""

from __future__ import annotations

import base64
import binascii
import hashlib
import re

_BLOCK = re.compile(
    r"-----BEGIN PGP PUBLIC KEY BLOCK-----\r?\n(?:[^\r\n]+: [^\r\n]*\r?\n)*\r?\n(.*?)(?:\r?\n=[A-Za-z0-9+/]{4})?\r?\n"
    r"-----END PGP PUBLIC KEY BLOCK-----",
    re.DOTALL,
)
PUBLIC_KEY, VERSION_4 = 6, 4


def fingerprints(text: str) -> list[str]:
    """The fingerprints of the primary keys, in capitals; of keys of version 4, as every archive has them.

    Raises:
        ValueError: it is no such file; the message says what was found.
    """
    blocks = _BLOCK.findall(text)
    if not blocks:
        raise ValueError("no PGP PUBLIC KEY BLOCK")
    found = []
    for block in blocks:
        try:
            data = base64.b64decode("".join(block.split()), validate=True)
        except binascii.Error:
            raise ValueError("a key block that is not base64") from None
        found += [_fingerprint(body) for tag, body in _packets(data) if tag == PUBLIC_KEY]
    if not found:
        raise ValueError("a block without a public key")
    return found


def _fingerprint(body: bytes) -> str:
    if body[:1] != bytes([VERSION_4]):
        raise ValueError("a key that is not of version 4")
    return hashlib.sha1(b"\x99" + len(body).to_bytes(2, "big") + body, usedforsecurity=False).hexdigest().upper()


def _packets(data: bytes) -> list[tuple[int, bytes]]:
    """Tag and body of each packet (RFC 4880, 4.2)."""
    found, at = [], 0
    while at < len(data):
        first = data[at]
        if not first & 0x80:
            raise ValueError("bytes that are no OpenPGP packet")
        tag, size, start = _new_header(data, at) if first & 0x40 else _old_header(data, at)
        if start + size > len(data):
            raise ValueError("a key block that ends too early")
        found.append((tag, data[start : start + size]))
        at = start + size
    return found


def _old_header(data: bytes, at: int) -> tuple[int, int, int]:
    kind = data[at] & 0x03
    if kind == 3:
        raise ValueError("a packet without a length")
    width = 1 << kind
    return (data[at] >> 2) & 0x0F, int.from_bytes(data[at + 1 : at + 1 + width], "big"), at + 1 + width


def _new_header(data: bytes, at: int) -> tuple[int, int, int]:
    tag, first = data[at] & 0x3F, data[at + 1] if at + 1 < len(data) else 0
    if first < 192:
        return tag, first, at + 2
    if first < 224:
        second = data[at + 2] if at + 2 < len(data) else 0
        return tag, ((first - 192) << 8) + second + 192, at + 3
    if first == 255:
        return tag, int.from_bytes(data[at + 2 : at + 6], "big"), at + 6
    raise ValueError("a packet in parts")
