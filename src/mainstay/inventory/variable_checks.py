"""Every environment variable of every service against its rules: by itself, and against the others."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from mainstay.errors import Problem
from mainstay.inventory import runtimes
from mainstay.inventory.environment import Environment
from mainstay.inventory.envvars import SENSITIVE, EnvVar
from mainstay.inventory.problems import describe
from mainstay.inventory.rules import faults, number_of
from mainstay.inventory.services import Service
from mainstay.inventory.variables import value_of
from mainstay.inventory.yamlfile import KeyPath

SOURCES = ("value", "secret", "address_of", "from_env_name")


def clashes(env: Environment) -> list[Problem]:
    """Variables whose own value breaks a rule."""
    return [problem for service in env.services.values() for problem in _service(env, service)]


def references(env: Environment) -> list[Problem]:
    """Variables that name a role or another variable that is not there, or that nothing sets."""
    problems: list[Problem] = []
    for service in env.services.values():
        problems += _pool(env, service)
        for name, rule in service.env_vars.items():
            problems += _references(env, service, name, rule)
    return problems


def _pool(env: Environment, service: Service) -> list[Problem]:
    """The variable that the program obeys is the pool that the budget counts (PT-11)."""
    name = service.pool_variable
    if name is None:
        return []
    rule = service.env_vars.get(name)
    if rule is None:
        expected = f"a variable of {service.name}"
        return [env.problem(("services", service.name, "pool_variable"), repr(name), expected)]
    if rule.secret is None and number_of(rule.value) == service.pool:
        return []
    key, found = _value_key(service, name, rule), "nothing" if rule.value is None else describe(rule.value)
    # Where both stand under service_defaults, that is one fault and not one a service.
    counted = env.problem(("services", service.name, "pool"), "", "").key
    expected = f"{service.pool}, as {counted}: what the budget counts is what the program opens"
    return [env.problem(key, found, expected)]


def key_of(service: Service, name: str, *more: str) -> KeyPath:
    """The path of a variable in the inventory."""
    return ("services", service.name, "env_vars", name, *more)


def _service(env: Environment, service: Service) -> Iterator[Problem]:
    for name, rule in service.env_vars.items():
        yield from _sources(env, service, name, rule)
        if rule.type == "enum" and rule.allowed is None:
            yield env.problem(key_of(service, name), "an enum without allowed", "the values that are allowed")
        if rule.min_bytes is not None and rule.type not in ("hex", "base64"):
            found = f"min_bytes of a variable of type {rule.type}"
            yield env.problem(key_of(service, name, "min_bytes"), found, "min_len, or the type hex or base64")
        if rule.secret is not None:
            continue
        value = rule.value if rule.value is not None else value_of(env, rule)
        if value is None:
            continue
        for expected in _expected(env, service, name, rule, value):
            yield env.problem(_value_key(service, name, rule), describe(value, (name,)), expected)
        yield from _against_others(env, service, name, rule, value)


def _expected(env: Environment, service: Service, name: str, rule: EnvVar, value: Any) -> Iterator[str]:
    """By the variable's own rules, and by what the service's runtime may use."""
    production = env.env == "production"
    yield from faults(rule, value, production=production)
    cores = [host.cores for host in env.hosts_of(service.role)]
    yield from runtimes.faults(service, name, value, cores, production=production)


def _sources(env: Environment, service: Service, name: str, rule: EnvVar) -> Iterator[Problem]:
    given = [source for source in SOURCES if getattr(rule, source) not in (None, False)]
    if len(given) > 1:
        yield env.problem(key_of(service, name), f"both {' and '.join(given)}", "one source of the value")
    if rule.value is not None and SENSITIVE.search(name):
        found = "a value in plain text, which is not shown"
        yield env.problem(key_of(service, name, "value"), found, f"secret: {name}, and the value in the secret store")


def _value_key(service: Service, name: str, rule: EnvVar) -> KeyPath:
    return key_of(service, name, "value") if rule.value is not None else key_of(service, name)


def _against_others(env: Environment, service: Service, name: str, rule: EnvVar, value: Any) -> Iterator[Problem]:
    key = _value_key(service, name, rule)
    other = _plain_value(env, service, rule.le)
    one, two = number_of(value), number_of(other)
    if one is not None and two is not None and one > two:
        yield env.problem(key, describe(value), f"at most {rule.le}, which is {two:g}")
    other = _plain_value(env, service, rule.must_contain)
    if other is not None and str(other) not in str(value):
        yield env.problem(key, describe(value), f"text that contains {rule.must_contain}, which is {describe(other)}")
    other = _plain_value(env, service, rule.not_equal)
    if other is not None and str(other) == str(value):
        yield env.problem(key, f"the value of {rule.not_equal}", "another value")


def _plain_value(env: Environment, service: Service, name: str | None) -> Any:
    """The value of another variable when it is no secret."""
    rule = service.env_vars.get(name) if name else None
    if rule is None or rule.secret is not None:
        return None
    return rule.value if rule.value is not None else value_of(env, rule)


def _references(env: Environment, service: Service, name: str, rule: EnvVar) -> Iterator[Problem]:
    for relation in ("le", "must_contain", "not_equal"):
        other = getattr(rule, relation)
        if other is not None and other not in service.env_vars:
            yield env.problem(key_of(service, name, relation), repr(other), f"a variable of {service.name}")
    if rule.address_of is not None and not env.hosts_of(rule.address_of):
        found = f"the role {rule.address_of!r}, which no host of {env.name} holds"
        yield env.problem(key_of(service, name, "address_of"), found, "a role that a host holds")
    elif (
        rule.required
        and rule.secret is None
        and value_of(env, rule) is None
        and name not in runtimes.derived(service, cores=1)
    ):
        yield env.problem(key_of(service, name), "no value", f"one in {env.env}.yaml or system.yaml: it is required")
