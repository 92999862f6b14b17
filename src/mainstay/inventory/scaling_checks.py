"""Cross-checks of `scaling`: counts that the hosts take, rules that do not chase one another."""

from __future__ import annotations

from collections.abc import Iterator

from mainstay.errors import Problem
from mainstay.inventory.environment import Environment
from mainstay.inventory.fields import format_size
from mainstay.inventory.scaling import Scaling
from mainstay.inventory.services import Service
from mainstay.inventory.yamlfile import KeyPath


def clashes(env: Environment) -> Iterator[Problem]:
    """Rules whose thresholds cross, counts beyond what the hosts take."""
    for name, scaling in env.common.scaling.items():
        key = ("scaling", name)
        for rule_name, rule in scaling.rules.items():
            if rule.up is not None and rule.down is not None and rule.up <= rule.down:
                yield env.problem((*key, "rules", rule_name), f"up {rule.up:g}, down {rule.down:g}", "up > down")
        service = env.services.get(name)
        if service is not None and service.kind != "static":
            yield from _counts(env, key, service, scaling)
            yield from _memory(env, key, service, scaling)


def _counts(env: Environment, key: KeyPath, service: Service, scaling: Scaling) -> Iterator[Problem]:
    hosts, own = len(env.hosts_of(service.role)), service.instances
    if not hosts or not own.min <= own.max:  # told elsewhere
        return
    fewest, most = max(hosts * own.min, scaling.least), hosts * own.max
    bounds = f"{fewest} to {most}: {hosts} host{'' if hosts == 1 else 's'}, {own.min} to {own.max} on each"
    for name, count in scaling.counts.items():
        if not fewest <= count <= most:
            expected = f"{bounds}, and never fewer than {scaling.least}" if scaling.least > hosts * own.min else bounds
            yield env.problem((*key, "counts", name), str(count), expected)
    if hosts * own.base < scaling.least:
        found = f"{scaling.least}, and {hosts * own.base} by services.{service.name}.instances.base"
        yield env.problem((*key, "least"), found, "no more than run at first")


def _memory(env: Environment, key: KeyPath, service: Service, scaling: Scaling) -> Iterator[Problem]:
    limit, own = scaling.incident_memory, service.limits
    if limit is not None and own is not None and limit > own.memory_max:
        expected = f"at most limits.memory_max of {service.name}, {format_size(own.memory_max)}"
        yield env.problem((*key, "incident_memory"), format_size(limit), expected)


def references(env: Environment) -> Iterator[Problem]:
    """Scaling of what is no program, a variable that the service does not have."""
    for name in env.common.scaling:
        service = env.services.get(name)
        if service is None or service.kind == "static":
            yield env.problem(("scaling", name), repr(name), "a service that runs instances")
            continue
        for variable in env.common.scaling[name].incident_variables:
            if variable not in service.env_vars:
                key = ("scaling", name, "incident_variables", variable)
                yield env.problem(key, repr(variable), f"a variable of {name}")
