"""The certificate that an inventory gives, held against its sites and its key."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

from deploys.components.nginx import certificate
from deploys.components.nginx.section import certificate_path, section, site_names
from mainstay.inventory import Environment, Problem


def check(env: Environment) -> Iterator[Problem]:
    """One for other names would be found by browsers; here no host has been asked yet."""
    tls, key = section(env).tls, ("nginx", "tls", "certificate")
    path = certificate_path(env)
    if path is None:
        if tls.key is not None:
            yield env.problem(("nginx", "tls", "key"), f"{tls.key} without a certificate", "nginx.tls.certificate too")
        return
    if tls.key is None:
        yield env.problem(key, f"{tls.certificate} without its key", "nginx.tls.key, the name of a secret, too")
    elif tls.key not in env.common.secrets.issued:
        found = f"{tls.key}, which `mainstay secrets generate` would make at random"
        yield env.problem(("nginx", "tls", "key"), found, "a name of secrets.issued: it comes with the certificate")
    try:
        fault = certificate.fault_of(path.read_text(encoding="utf-8"), site_names(env), datetime.now(UTC))
    except (OSError, UnicodeDecodeError):
        fault = ("no file that can be read", certificate.PEM)
    if fault is not None:
        found, expected = fault
        yield env.problem(key, f"{path.relative_to(env.root).as_posix()}: {found}", expected)


def check_secrets(env: Environment) -> Iterator[Problem]:
    """A key that is another certificate's; it is not shown."""
    path, name = certificate_path(env), section(env).tls.key
    if path is None or name is None or name not in env.secrets.names() or not path.is_file():
        return
    text = path.read_text(encoding="utf-8", errors="replace")
    if certificate.fault_of(text, site_names(env), datetime.now(UTC)) is not None:
        return
    fits = certificate.key_fits(text, env.secrets.get(name).reveal())
    if not fits:
        found = f"a secret {name} that is {'no private key' if fits is None else 'the key of another certificate'}"
        yield env.problem(("nginx", "tls", "key"), found, "the key of nginx.tls.certificate, in PEM")
