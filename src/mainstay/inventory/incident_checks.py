"""Cross-checks of incidents: severities that follow one another, phases that do, and people who are there."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

from mainstay.errors import Problem
from mainstay.inventory.environment import Environment
from mainstay.inventory.incident import Phase, seconds
from mainstay.inventory.upkeep import VAULT
from mainstay.inventory.yamlfile import KeyPath


def clashes(env: Environment) -> Iterator[Problem]:
    """A worse severity that is answered later, a phase that is over before the one before it."""
    severities = env.common.severity
    said = {name: one.response for name, one in severities.items() if one.response is not None}
    for (worse, one), (milder, two) in pairwise(sorted(said.items(), key=lambda item: severities[item[0]].rank)):
        if seconds(one) > seconds(two):
            found = f"{_said(one)}, while {milder} has {_said(two)}"
            yield env.problem(("severity", worse, "response"), found, f"no longer than that of the milder {milder}")
    incident = env.common.incident
    yield from _phases(env, ("incident", "phases"), incident.phases)
    yield from _phases(env, ("incident", "security_phases"), incident.security_phases)


def references(env: Environment) -> Iterator[Problem]:
    """Nobody to tell about a security incident, somebody who is not described."""
    if "security" not in env.common.contacts:
        yield env.problem(("contacts", "security"), "nothing", "an e-mail address for security incidents")
    for role, names in env.common.oncall.items():
        for index, name in enumerate(names):
            if name != VAULT and name not in env.operators:
                expected = f"an operator ({', '.join(env.operators)}), or {VAULT} for whom the secret store names"
                yield env.problem(("oncall", role, index), "somebody who is not shown", expected)
    known = [*env.common.contacts, *env.common.oncall]
    for key, name in _asked(env):
        if name not in known:
            yield env.problem(key, repr(name), f"a contact or a field of oncall: {', '.join(known)}")


def _asked(env: Environment) -> Iterator[tuple[KeyPath, str]]:
    """Everybody who is asked in an incident, with the key that says so."""
    for index, name in enumerate(env.common.incident.escalation):
        yield ("incident", "escalation", index), name
    for severity, one in env.common.severity.items():
        if one.first is not None:
            yield ("severity", severity, "first"), one.first
        for index, name in enumerate(one.escalation.to if one.escalation else []):
            yield ("severity", severity, "escalation", "to", index), name


def _phases(env: Environment, key: KeyPath, phases: list[Phase]) -> Iterator[Problem]:
    names = [phase.name for phase in phases]
    for index, name in enumerate(names):
        if name in names[:index]:
            yield env.problem((*key, index, "name"), repr(name), "a name of its own")
    timed = [(index, phase.until) for index, phase in enumerate(phases) if phase.until is not None]
    for (_, one), (index, two) in pairwise(timed):
        if seconds(one) >= seconds(two):
            yield env.problem((*key, index, "until"), _said(two), f"later than {_said(one)}, when the one before ends")


def _said(deadline: float | str) -> str:
    return deadline if isinstance(deadline, str) else f"{deadline:g} s"
