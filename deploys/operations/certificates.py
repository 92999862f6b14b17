"""TLS certificates that each web host signs for itself; an issuer puts its own behind the same link."""

from __future__ import annotations

import shlex
from collections.abc import Generator
from datetime import UTC, datetime, timedelta

from pyinfra import host
from pyinfra.api import operation

from deploys.operations.files import KIT
from facts.certificates import Certificate, LiveCertificate
from mainstay import context
from mainstay.plan_notes import note

RENEW_BEFORE = timedelta(days=30)


@operation()
def self_signed(folder: str, names: list[str]) -> Generator[str, None, None]:
    """A certificate for `names` below `folder`, made on the host where none of its own is valid for another 30 days.

    A certificate of another issuer that covers the names stays.
    """
    fault = fault_of(host.get_fact(LiveCertificate, folder=f"{folder}/live"), names, datetime.now(UTC))
    if not fault:
        host.noop(f"the certificate covers {', '.join(names)}")
        return
    note(f"{folder}/live", f"new self-signed certificate for {', '.join(names)}: {fault}")
    run = shlex.quote(context.run_id() or "-")
    yield f"{KIT}/self-signed {run} {shlex.quote(folder)} {' '.join(shlex.quote(name) for name in names)}"


def fault_of(found: Certificate | None, names: list[str], now: datetime) -> str:
    """Why the certificate does not do, in words; empty where it does."""
    if found is None:
        return "there is none"
    if not found.key_fits:
        return "its key is missing or another one's"
    if not found.key_private:
        return "others than root could read its key"
    missing = [name for name in names if name not in found.names]
    if missing:
        return f"it lacks {', '.join(missing)}"
    if found.not_after - now < RENEW_BEFORE:
        return f"it ends on {found.not_after:%Y-%m-%d}"
    return ""
