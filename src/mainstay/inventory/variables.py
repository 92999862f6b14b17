"""The value of an environment variable, as the service reads it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mainstay.inventory.envvars import EnvVar

if TYPE_CHECKING:
    from mainstay.inventory.environment import Environment


def text_of(value: object) -> str:
    """A YAML scalar as an environment variable holds it: truth values in lower case, whole numbers without a point."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)


def value_of(env: Environment, rule: EnvVar) -> str | None:
    """The variable's text in this environment, None when nothing sets it; a secret stays a placeholder."""
    if rule.secret is not None:
        return str(env.secrets.get(rule.secret))
    if rule.from_env_name:
        return env.env
    if rule.address_of is not None:
        hosts = env.hosts_of(rule.address_of)
        return hosts[0].address if hosts else None
    return None if rule.value is None else text_of(rule.value)
