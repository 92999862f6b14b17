"""This environment beside the other one: values that must differ, hosts that must not be the same machine."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from mainstay.errors import Problem
from mainstay.inventory import service_defaults
from mainstay.inventory.environment import Environment
from mainstay.inventory.problems import describe
from mainstay.inventory.variable_checks import key_of
from mainstay.inventory.yamlfile import read


def clashes(env: Environment) -> Iterable[Problem]:
    """An address, or the value of a variable with `differs_between`, that the other environment has too.

    The other file is read for this alone: its own faults are reported when it is loaded.
    """
    other = "production" if env.env == "staging" else "staging"
    file = f"inventories/{env.system}/{other}.yaml"
    values = read(env.root / file, file).data
    hosts = values.get("hosts")
    taken = {_get(spec, "address"): name for name, spec in hosts.items()} if isinstance(hosts, dict) else {}
    for name, spec in env.common.hosts.items():
        if spec.address in taken:
            found = f"{spec.address}, which {taken[spec.address]} of {other} has"
            yield env.problem(("hosts", name, "address"), found, "an address of its own")
    for service in env.services.values():
        for name, rule in service.env_vars.items():
            if not {env.env, other} <= set(rule.differs_between) or rule.value is None:
                continue
            paths = (("services", service.name), (service_defaults.KEY,))
            values_there = (_get(values, *path, "env_vars", name, "value") for path in paths)
            theirs = next((value for value in values_there if value is not None), None)
            shared = env.sources.only_shared(key_of(service, name, "value"))
            if (theirs == rule.value) if theirs is not None else shared:
                found = f"{describe(rule.value, (name,))} in {env.env} and {other}"
                yield env.problem(key_of(service, name, "value"), found, "a value of its own in each")


def _get(values: Any, *path: str) -> Any:
    """The scalar at the path, None when there is none."""
    for key in path:
        values = values.get(key) if isinstance(values, dict) else None
    return None if isinstance(values, dict | list) else values
