"""The TLS certificate that a host serves."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from datetime import UTC, datetime

from pyinfra.api import FactBase
from typing_extensions import override


@dataclass(frozen=True)
class Certificate:
    """`names` are its DNS names, `not_after` its end in UTC.

    `key_fits` says that the key beside it is its own, `key_private` that only root can read that key.
    """

    names: frozenset[str]
    not_after: datetime
    key_fits: bool
    key_private: bool = True


class LiveCertificate(FactBase[Certificate | None]):
    """What `folder` holds; None where there is nothing that openssl can read."""

    @override
    def command(self, folder: str) -> str:  # type: ignore[override]
        live = shlex.quote(folder)
        return (
            f"openssl x509 -in {live}/fullchain.pem -noout -enddate -ext subjectAltName -pubkey 2>/dev/null; "
            f"echo key; openssl pkey -in {live}/privkey.pem -pubout 2>/dev/null; "
            f"[ \"$(stat -L -c '%U %a' {live}/privkey.pem 2>/dev/null)\" = 'root 600' ] && echo key private; true"
        )

    @staticmethod
    @override
    def default() -> Certificate | None:
        return None

    @override
    def process(self, output: list[str]) -> Certificate | None:
        return parse_certificate(output)


def parse_certificate(lines: list[str]) -> Certificate | None:
    """Reads openssl's `notAfter=`, `DNS:` entries and public key; after `key` the key's own one, and `key private`."""
    end: datetime | None = None
    names: set[str] = set()
    place = lines.index("key") if "key" in lines else len(lines)
    for line in lines[:place]:
        if line.startswith("notAfter="):
            end = datetime.strptime(line.removeprefix("notAfter="), "%b %d %H:%M:%S %Y %Z").replace(tzinfo=UTC)
        names |= {entry.strip()[4:] for entry in line.split(",") if entry.strip().startswith("DNS:")}
    public = _public_key(lines[:place])
    fits = bool(public) and public == _public_key(lines[place:])
    return Certificate(frozenset(names), end, fits, "key private" in lines) if end else None


def _public_key(lines: list[str]) -> list[str]:
    """The lines of the PEM block; none where it is not whole."""
    begin, end = "-----BEGIN PUBLIC KEY-----", "-----END PUBLIC KEY-----"
    return lines[lines.index(begin) : lines.index(end)] if begin in lines and end in lines else []
