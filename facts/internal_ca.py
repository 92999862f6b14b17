"""The certificate of a host by a system's internal CA, as it stands there; the key itself stays where it is."""

from __future__ import annotations

import shlex
from dataclasses import dataclass

from pyinfra.api import FactBase
from typing_extensions import override

_END = "-----END CERTIFICATE-----"


@dataclass(frozen=True)
class TlsFiles:
    """PEM of the CA's certificate and of the host's own, empty where there is none.

    `key_fits` says that the key beside it is its own, `key_mode` is owner, group and mode of the key (`root postgres
    640`).
    """

    authority: str = ""
    certificate: str = ""
    key_fits: bool = False
    key_mode: str = ""


class InternalCertificate(FactBase[TlsFiles]):
    """What stands in FOLDER: `ca.crt`, `server.crt` and `server.key`."""

    @override
    def command(self, folder: str) -> str:  # type: ignore[override]
        place = shlex.quote(folder)
        return (
            f"cat {place}/ca.crt 2>/dev/null; echo authority; cat {place}/server.crt 2>/dev/null; echo certificate; "
            f"a=$(openssl x509 -in {place}/server.crt -noout -pubkey 2>/dev/null); "
            f"b=$(openssl pkey -in {place}/server.key -pubout 2>/dev/null); "
            '[ -n "$a" ] && [ "$a" = "$b" ] && echo key fits; '
            f"echo mode $(stat -c '%U %G %a' {place}/server.key 2>/dev/null); true"
        )

    @staticmethod
    @override
    def default() -> TlsFiles:
        return TlsFiles()

    @override
    def process(self, output: list[str]) -> TlsFiles:
        return parse_tls(output)


def parse_tls(lines: list[str]) -> TlsFiles:
    """Reads two PEM texts, each closed by a line that names it, then `key fits` and `mode OWNER GROUP MODE`."""
    if "authority" not in lines or "certificate" not in lines:
        return TlsFiles()
    first, second = lines.index("authority"), lines.index("certificate")
    mode = next((line.removeprefix("mode ").strip() for line in lines[second:] if line.startswith("mode ")), "")
    return TlsFiles(_pem(lines[:first]), _pem(lines[first + 1 : second]), "key fits" in lines[second:], mode)


def _pem(lines: list[str]) -> str:
    return "".join(f"{line}\n" for line in lines) if _END in lines else ""
