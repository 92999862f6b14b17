"""Rules that only the secret values themselves can prove; no value is shown, compared ones meet as salted digests."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from dataclasses import dataclass

from mainstay import project
from mainstay.errors import Problem, SecretError
from mainstay.inventory.environment import Environment
from mainstay.inventory.envvars import EnvVar
from mainstay.inventory.rules import faults
from mainstay.inventory.services import Service
from mainstay.inventory.stores import AbsentStore, secret_store
from mainstay.inventory.variable_checks import key_of
from mainstay.secrets import SecretStore


@dataclass
class Report:
    """The faults, and a sentence for each check that could not run."""

    problems: list[Problem]
    notes: list[str]


def check(env: Environment) -> Report:
    """Missing names, rules on values, equal secrets where they must differ."""
    from mainstay.secrets.needed import needed_secrets

    names = [need.name for need in needed_secrets(env)]
    if isinstance(env.secrets, AbsentStore):
        if not names:
            return Report([], [])
        return Report([], [f"{env.name}: no {env.secrets.path.name} yet, {len(names)} secret values were not checked"])
    stored = set(env.secrets.names())
    missing = [_missing(env, name) for name in names if name not in stored]
    try:
        return Report([*missing, *_values(env, stored), *_sections(env)], _not_compared(env))
    except SecretError as error:
        return Report(missing, [f"{env.name}: secret values were not checked: {error}"])


def _missing(env: Environment, name: str) -> Problem:
    folder = env.secrets.path.parent.relative_to(env.root).as_posix()
    expected = "it there; `mainstay secrets generate` or `set` stores it"
    return Problem(f"{folder}/{env.secrets.path.name}", name, "no such secret", expected)


def _values(env: Environment, stored: set[str]) -> list[Problem]:
    salt = secrets.token_hex(16)
    problems: list[Problem] = []
    for service in env.services.values():
        for name, rule in service.env_vars.items():
            if rule.secret is not None and rule.secret in stored:
                problems += _value(env, service, name, rule)
                problems += _equal(env, service, name, rule, salt)
    return problems


def _sections(env: Environment) -> Iterator[Problem]:
    """What each component finds wrong with its own secrets, by a function `check_secrets(env)` of its model."""
    for stem in env.sections:
        own = getattr(project.component_model(stem), "check_secrets", None)
        if own is not None:
            yield from own(env)


def _value(env: Environment, service: Service, name: str, rule: EnvVar) -> Iterator[Problem]:
    value = env.secrets.get(rule.secret or "").reveal()
    counted = f"a secret {rule.secret} of {len(value.rstrip())} characters"
    for expected in faults(rule, value, production=env.env == "production"):
        found = counted if expected.startswith("at least") else f"a secret {rule.secret} that is not shown"
        yield env.problem(key_of(service, name), found, expected)


def _equal(env: Environment, service: Service, name: str, rule: EnvVar, salt: str) -> Iterator[Problem]:
    own = env.secrets.get(rule.secret or "").digest(salt)
    other = service.env_vars.get(rule.not_equal or "")
    if other is not None and other.secret in env.secrets.names() and _digest(env.secrets, other.secret, salt) == own:
        yield env.problem(key_of(service, name, "not_equal"), f"the same value as {rule.not_equal}", "another value")
    for twin in others(env, rule):
        store = secret_store(env.root, env.system, twin)
        if rule.secret in store.names() and _digest(store, rule.secret, salt) == own:
            found = f"the same secret {rule.secret} in {env.env} and {twin}"
            yield env.problem(key_of(service, name, "differs_between"), found, "a value of its own in each")


def _digest(store: SecretStore, name: str | None, salt: str) -> str:
    return store.get(name or "").digest(salt)


def others(env: Environment, rule: EnvVar) -> list[str]:
    """The environments from which the variable's value must differ."""
    return [name for name in rule.differs_between if name != env.env] if env.env in rule.differs_between else []


def _not_compared(env: Environment) -> list[str]:
    """The environments whose stores are not there to compare with."""
    rules = [rule for service in env.services.values() for rule in service.env_vars.values() if rule.secret]
    names = sorted({twin for rule in rules for twin in others(env, rule)})
    absent = [name for name in names if isinstance(secret_store(env.root, env.system, name), AbsentStore)]
    return [f"{env.name}: no secrets.{name}.yaml yet, its secrets were not compared" for name in absent]
