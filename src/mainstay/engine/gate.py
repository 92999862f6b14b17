"""What must hold before anything changes: proof on staging, no hold, no open run, whole ledgers. Pure sentences."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta

from mainstay import artefacts, change
from mainstay.engine import holds, ledger
from mainstay.engine.snapshot import HostState
from mainstay.errors import GateError, InventoryError
from mainstay.inventory import Environment

# A laptop and another laptop agree about the time to within this.
SKEW = timedelta(minutes=5)


def staging_proof(
    states: Mapping[str, HostState], change: str, within_h: int, moment: datetime | None = None
) -> str | None:
    """None where every staging host's ledger says that it verified `change` within `within_h` hours; else why not."""
    current = moment or datetime.now(UTC)
    if not states:
        return "staging has no hosts that could prove it"
    for name, state in states.items():
        why = _host_proof(state, change, within_h, current)
        if why:
            return f"staging's {name} {why}"
    return None


def _host_proof(state: HostState, change: str, within_h: int, current: datetime) -> str | None:
    if not state.reachable:
        return f"cannot be asked ({state.reason})"
    if state.ledger.damage:
        return f"cannot prove it: {state.ledger.damage}"
    last = next((row for row in reversed(state.ledger.rows) if row.change), None)
    return _row_proof(last, change, within_h, current) if last else "has never verified anything"


def _row_proof(last: ledger.Row, change: str, within_h: int, current: datetime) -> str | None:
    if last.result != ledger.VERIFIED:
        return f"did not verify its last change: {last.result} at {last.when}"
    if last.change != change:
        return f"verified change {last.change[:12]} last, not {change[:12]}"
    if last.time > current + SKEW:
        return f"says it verified this change at {last.when}, which is in the future"
    if current - last.time > timedelta(hours=within_h):
        return f"verified this change at {last.when}, more than {within_h} h ago"
    return None


def check_artefacts(environment: Environment, states: Mapping[str, HostState], names: Iterable[str]) -> None:
    """Refuses while a host would need an artefact that this laptop does not have.

    Raises:
        InventoryError: with the artefact, and a host that lacks the release.
    """
    problems = []
    for service, release in environment.releases.items():
        on_it = [
            name for name in names if environment.services[service] in environment.services_on(environment.hosts[name])
        ]
        lacking = [name for name in on_it if not _has(states.get(name), service, release.version)]
        if lacking and artefacts.path_of(environment, service) is None:
            key = ("releases", service, "artefacts", release.version, "file")
            expected = f"the artefact there, because {lacking[0]} does not have {service} {release.version} yet"
            problems.append(environment.problem(key, f"no artefacts/{release.artefact.file}", expected))
    if problems:
        raise InventoryError(problems)


def _has(state: HostState | None, service: str, version: str) -> bool:
    return state is not None and service in state.releases and version in state.releases[service].kept


def shut(environment: Environment, staging: Mapping[str, HostState]) -> str:
    """Why production does not take what is pinned: the releases' own gates, then staging's proof; empty where it does.

    Raises:
        InventoryError: an artefact cannot be read.
    """
    digest, hours = change.change(environment).digest, environment.common.rollout.verified_within_h
    return "; ".join([*artefacts.gates(environment), *filter(None, [staging_proof(staging, digest, hours)])])


def check_holds(environment: Environment, states: Mapping[str, HostState]) -> None:
    """Refuses a pinned version that is on hold.

    Raises:
        GateError: with the hold, and the two ways on.
    """
    for hold in holds.refused(environment, [hold for state in states.values() for hold in state.holds]):
        raise GateError(
            f"{environment.name}: {hold}; pin another version in releases.yaml, or lift it: "
            f"mainstay rollback {environment.name} --lift --service {hold.service}"
        )


def check_ledgers(environment: Environment, states: Mapping[str, HostState]) -> None:
    """Refuses to build on a record that was tampered with.

    Raises:
        GateError: naming host and row.
    """
    for name, state in states.items():
        if state.ledger.damage:
            raise GateError(f"{environment.name}: {name}: {state.ledger.damage}; see docs/procedures/rollout.md")


def check_lease(environment: Environment, states: Mapping[str, HostState]) -> None:
    """Refuses early where somebody writes to the environment.

    Raises:
        GateError: who, since when, for what.
    """
    for name, state in states.items():
        if state.lease:
            raise GateError(f"{environment.name}: {taken(name, state.lease)}")


def taken(host: str, holder: Mapping[str, object]) -> str:
    """The sentence that a second operator reads."""
    who, machine = holder.get("operator", "somebody"), holder.get("machine", "another laptop")
    return f"{host} is held by {who} on {machine} since {holder.get('since', '?')} for `{holder.get('command', '?')}`"
