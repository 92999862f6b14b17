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
    """What `FOLDER/live` holds; None where there is nothing that openssl can read."""

    @override
    def command(self, folder: str) -> str:  # type: ignore[override]
        live = shlex.quote(f"{folder}/live")
        return (
            f"openssl x509 -in {live}/fullchain.pem -noout -enddate -ext subjectAltName 2>/dev/null; "
            f"a=$(openssl x509 -in {live}/fullchain.pem -noout -pubkey 2>/dev/null); "
            f"b=$(openssl pkey -in {live}/privkey.pem -pubout 2>/dev/null); "
            '[ -n "$a" ] && [ "$a" = "$b" ] && echo key fits; '
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
    """Reads openssl's `notAfter=` and `DNS:` entries, and the lines `key fits` and `key private`."""
    end: datetime | None = None
    names: set[str] = set()
    for line in lines:
        if line.startswith("notAfter="):
            end = datetime.strptime(line.removeprefix("notAfter="), "%b %d %H:%M:%S %Y %Z").replace(tzinfo=UTC)
        names |= {entry.strip()[4:] for entry in line.split(",") if entry.strip().startswith("DNS:")}
    return Certificate(frozenset(names), end, "key fits" in lines, "key private" in lines) if end else None
