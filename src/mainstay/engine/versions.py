"""Which version a rollback returns to. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from mainstay.engine import ledger
from mainstay.engine.ledger import Row
from mainstay.engine.snapshot import HostState
from mainstay.errors import UsageError

_UNDONE = (ledger.PUT_BACK, ledger.INCOMPLETE)


@dataclass(frozen=True)
class Step:
    """One service's way back: from which version to which, and the SHA-256 of that one's artefact."""

    service: str
    leave: str
    to: str
    sha256: str


def choose(
    service: str, states: Mapping[str, HostState], to: str | None = None, pinned: Mapping[str, str] | None = None
) -> Step | None:
    """Which version the service goes back to; None where there is no release before.

    The one that the hosts' ledgers call verified before the current one, not on hold, and on every host or in
    releases.yaml (RB-04); where the ledgers know none, the `previous` link.

    Args:
        to: the version that the operator named instead.
        pinned: SHA-256 of the versions that releases.yaml lists.

    Raises:
        UsageError: hosts do not agree about the current version, or one lacks the version that was named.
    """
    found = {name: state.releases[service] for name, state in states.items() if service in state.releases}
    if not found:
        return None
    current = {release.current for release in found.values()}
    if len(current) > 1 and to is None:
        told = ", ".join(f"{name} {release.current}" for name, release in found.items())
        raise UsageError(f"{service}: found different versions ({told}), expected --to VERSION")
    everywhere = set.intersection(*(set(release.kept) for release in found.values())) | set(pinned or {})
    if to is not None and to not in everywhere:
        raise UsageError(f"--to: found {service} {to}, expected one of {', '.join(sorted(everywhere))}")
    target = to or _before(service, states, current.copy().pop(), everywhere)
    leave = sorted(current - {target or ""})
    if not target or not leave:
        return None
    sha256 = (pinned or {}).get(target) or next(r.kept[target] for r in found.values() if target in r.kept)
    return Step(service, leave[0], target, sha256)


def _before(service: str, states: Mapping[str, HostState], current: str, everywhere: set[str]) -> str | None:
    """The newest version before the current one that may run."""
    held = {hold.version for state in states.values() for hold in state.holds if hold.service == service}
    versions, returned = path(service, [row for state in states.values() for row in state.ledger.rows])
    if current in versions:
        versions = versions[: versions.index(current)]
    candidates = versions[::-1]
    if not returned:
        # After a rollback the link names the version that was left, which is not before the current one.
        candidates += sorted({s.releases[service].previous for s in states.values() if service in s.releases})
    return next((v for v in candidates if v in everywhere and v not in held | {current}), None)


def path(service: str, rows: list[Row]) -> tuple[list[str], bool]:
    """The versions that led to the current one, oldest first, and whether the last step was a rollback.

    A rollback takes away what it left; a run that was put back never was.
    """
    undone = {(row.host, row.run) for row in rows if row.result in _UNDONE}
    kept = [row for row in rows if row.result == ledger.VERIFIED and (row.host, row.run) not in undone]
    versions: list[str] = []
    returned = False
    for row in sorted(kept, key=lambda row: (row.when, row.n)):
        version = row.releases.get(service)
        if not version or versions[-1:] == [version]:
            continue
        returned = row.verb == "rollback"
        if version in versions:
            position = versions.index(version)
            versions = versions[: position + 1] if returned else [v for v in versions if v != version] + [version]
        else:
            versions.append(version)
    return versions, returned
