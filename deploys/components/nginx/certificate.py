"""A certificate that the inventory gives: whether it does, before any host is asked."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from datetime import datetime
from itertools import pairwise

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import serialization

PEM = "a certificate and, after it, those that signed it, in PEM"


def fault_of(text: str, names: Sequence[str], now: datetime) -> tuple[str, str] | None:
    """What is wrong with a certificate and its chain: what was found and what was expected; None where it does.

    Args:
        text: the file's.
        names: every name that it must hold for.
        now: an instant with its time zone.
    """
    try:
        chain = x509.load_pem_x509_certificates(text.encode())
    except ValueError:
        return "no certificate", PEM
    first, own = chain[0], names_of(text)
    if uncovered(names, own):
        return f"a certificate for {', '.join(own) or 'no name'}", f"one for {', '.join(names)}"
    if first.not_valid_after_utc <= now:
        return f"a certificate that ended on {first.not_valid_after_utc:%Y-%m-%d}", "one that is valid"
    if first.not_valid_before_utc > now:
        return f"a certificate that begins on {first.not_valid_before_utc:%Y-%m-%d}", "one that is valid"
    for number, (one, issuer) in enumerate(pairwise(chain), start=1):
        if not _signed_by(one, issuer):
            return f"certificate {number + 1}, which did not sign the one before it", PEM
    return None


def names_of(text: str) -> list[str]:
    """The DNS names of the first certificate in a PEM text, in its own order."""
    try:
        found = x509.load_pem_x509_certificates(text.encode())[0].extensions
        return found.get_extension_for_class(x509.SubjectAlternativeName).value.get_values_for_type(x509.DNSName)
    except (ValueError, x509.ExtensionNotFound):
        return []


def uncovered(names: Iterable[str], own: Iterable[str]) -> list[str]:
    """Which of `names` a certificate for `own` does not hold for; `*` stands for one label, the first (RFC 6125)."""
    known = {name.lower() for name in own}
    return [name for name in names if not {name.lower(), f"*.{name.lower().partition('.')[2]}"} & known]


def key_fits(text: str, key: str) -> bool | None:
    """Whether `key` (PEM, without a passphrase) is the certificate's own; None where it is no such key."""
    try:
        private = serialization.load_pem_private_key(key.encode(), password=None)
    except (ValueError, TypeError):
        return None
    return bool(private.public_key() == x509.load_pem_x509_certificates(text.encode())[0].public_key())


def fingerprint(text: str) -> str:
    """SHA-256 of the first certificate, as openssl prints it: `AB:CD:...`."""
    der = x509.load_pem_x509_certificates(text.encode())[0].public_bytes(serialization.Encoding.DER)
    return hashlib.sha256(der).digest().hex(":").upper()


def _signed_by(certificate: x509.Certificate, issuer: x509.Certificate) -> bool:
    try:
        certificate.verify_directly_issued_by(issuer)
    except (ValueError, TypeError, InvalidSignature):
        return False
    return True
