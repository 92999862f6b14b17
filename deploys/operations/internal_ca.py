"""A system's internal CA: its key is made from one secret, on this machine and for as long as it signs (ADR 7).

A host's certificate holds the host's name and address; whoever connects with `sslmode=verify-full` and `ca.crt` refuses
every other.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from pyinfra import host
from pyinfra.api import StringCommand, operation

from deploys.operations.files import fed
from facts.internal_ca import InternalCertificate, TlsFiles
from mainstay import context
from mainstay.files import FileSet, ManagedFile
from mainstay.plan_notes import note

LIFE = timedelta(days=825)
LIFE_OF_CA = timedelta(days=3650)
RENEW_BEFORE = timedelta(days=90)
# A host's clock may be behind this one's.
EARLIER = timedelta(days=1)
# The order of the curve P-256 (FIPS 186-5): a private key is a number from 1 to one less.
_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551


_Life = tuple[datetime, datetime]


@dataclass(frozen=True)
class Issued:
    """PEM texts: the CA's certificate, a host's certificate and its key."""

    authority: str
    certificate: str
    key: str


def authority_key(seed: str) -> ec.EllipticCurvePrivateKey:
    """The CA's key, the same for the same secret: nothing else has to be kept.

    Args:
        seed: the secret's value, at random; 32 bytes as `mainstay secrets generate` makes them are enough.
    """
    # 16 bytes more than the key has: what is left over by the division is then as good as evenly spread.
    derived = HKDF(hashes.SHA256(), 48, salt=None, info=b"mainstay internal ca").derive(seed.encode())
    return ec.derive_private_key(int.from_bytes(derived) % (_ORDER - 1) + 1, ec.SECP256R1())


def issue(seed: str, owner: str, names: Sequence[str], now: datetime) -> Issued:
    """A new key and a certificate for it that holds for `names` (host names and addresses).

    Args:
        seed: of the CA.
        owner: whose CA it is (`SYSTEM/ENV`).
        names: the first one is the certificate's own name.
        now: an instant with its time zone.
    """
    signer, key = authority_key(seed), ec.generate_private_key(ec.SECP256R1())
    public = signer.public_key()
    issuer = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"Mainstay {owner}")])
    authority = (
        _certificate((issuer, issuer), public, public, life=(now - EARLIER, now + LIFE_OF_CA))
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(signs=True), critical=True)
        .sign(signer, hashes.SHA256())
    )
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, names[0])])
    certificate = (
        _certificate((name, issuer), key.public_key(), public, life=(now - EARLIER, now + LIFE))
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(signs=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.SubjectAlternativeName([_general(each) for each in names]), critical=False)
        .sign(signer, hashes.SHA256())
    )
    plain = serialization.NoEncryption()
    private = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain)
    return Issued(_pem(authority), _pem(certificate), private.decode())


def fault_of(found: TlsFiles, seed: str, names: Sequence[str], now: datetime) -> str:
    """Why what stands on the host does not do, in words; empty where it does."""
    try:
        authority = x509.load_pem_x509_certificate(found.authority.encode())
        certificate = x509.load_pem_x509_certificate(found.certificate.encode())
    except ValueError:
        return "there is none"
    signer = authority_key(seed).public_key()
    if authority.public_key() != signer or not _signed_by(certificate, authority, signer):
        return "it is another CA's"
    missing = [name for name in names if _general(name) not in _names(certificate)]
    if missing:
        return f"it lacks {', '.join(missing)}"
    end = min(authority.not_valid_after_utc, certificate.not_valid_after_utc)
    if end - now < RENEW_BEFORE:
        return f"it ends on {end:%Y-%m-%d}"
    if not found.key_fits:
        return "its key is missing or another one's"
    return "" if found.key_mode == "root postgres 640" else "others than PostgreSQL could read its key"


@operation()
def certified(folder: str, secret: str, names: list[str], unit: str) -> Generator[StringCommand, None, None]:
    """A certificate of the internal CA for `names` in `folder`, with its key and the CA's own certificate.

    All three are put in place as one step, and the server that uses them is reloaded where it runs.

    Args:
        folder: on the host.
        secret: name of the secret that the CA is made from.
        names: the host's names and addresses.
        unit: of the server.
    """
    environment = context.current_environment()
    seed, now = environment.secrets.get(secret).reveal(), datetime.now(UTC)
    fault = fault_of(host.get_fact(InternalCertificate, folder=folder), seed, names, now)
    if not fault:
        host.noop(f"the certificate covers {', '.join(names)}")
        return
    note(f"{folder}/server.crt", f"new certificate for {', '.join(names)}: {fault}")
    issued = issue(seed, environment.name, names, now)
    reload = f"if systemctl is-active --quiet {unit}; then systemctl reload {unit}; fi"
    step = FileSet(
        [
            ManagedFile(f"{folder}/ca.crt", issued.authority),
            ManagedFile(f"{folder}/server.crt", issued.certificate),
            ManagedFile(f"{folder}/server.key", issued.key, "root", "postgres", 0o640),
        ],
        activate=reload,
    )
    yield fed("install-files", step.archive(lambda text: text))


def _certificate(
    names: tuple[x509.Name, x509.Name],
    key: ec.EllipticCurvePublicKey,
    signer: ec.EllipticCurvePublicKey,
    *,
    life: _Life,
) -> x509.CertificateBuilder:
    """Of the first of `names`, issued by the second, for `key`."""
    subject, issuer = names
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(life[0])
        .not_valid_after(life[1])
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(signer), critical=False)
    )


def _usage(*, signs: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs,
        crl_sign=signs,
        encipher_only=False,
        decipher_only=False,
    )


def _general(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _names(certificate: x509.Certificate) -> list[x509.GeneralName]:
    try:
        return list(certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value)
    except x509.ExtensionNotFound:
        return []


def _signed_by(certificate: x509.Certificate, issuer: x509.Certificate, key: ec.EllipticCurvePublicKey) -> bool:
    """By this key, and under this name: OpenSSL looks for the issuer by its name first."""
    algorithm = certificate.signature_hash_algorithm
    if certificate.issuer != issuer.subject or algorithm is None:
        return False
    try:
        key.verify(certificate.signature, certificate.tbs_certificate_bytes, ec.ECDSA(algorithm))
    except InvalidSignature:
        return False
    return True


def _pem(certificate: x509.Certificate) -> str:
    return certificate.public_bytes(serialization.Encoding.PEM).decode()
