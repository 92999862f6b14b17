"""Cross-checks of one environment: what no single value can tell."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from mainstay import project
from mainstay.errors import Problem
from mainstay.inventory import (
    alert_checks,
    certificates,
    incident_checks,
    log_checks,
    memory,
    release_checks,
    scaling_checks,
    twin,
    upkeep_checks,
    variable_checks,
)
from mainstay.inventory.environment import Environment, Host
from mainstay.inventory.fields import format_size
from mainstay.inventory.problems import describe
from mainstay.inventory.system import window_minutes


def run(env: Environment, *, complete: bool) -> list[Problem]:
    """Every clash among what is there; with `complete`, every reference to something that is not there as well.

    Args:
        env: the environment, or what is left of it without its faulty parts.
        complete: nothing had to be left out, so what is absent is absent from the files.
    """
    chosen = [*CLASHES, *(REFERENCES if complete else ())]
    return [problem for check in chosen for problem in check(env)]


def ports(env: Environment) -> Iterable[Problem]:
    """Two listeners on one port of a host."""
    hosts_by_clash: dict[tuple[int, str, str, tuple[str | int, ...]], list[str]] = {}
    for host in env.hosts.values():
        first: dict[int, str] = {}
        for listener in env.listeners(host):
            if listener.port in first:
                clash = (listener.port, first[listener.port], listener.what, listener.key)
                hosts_by_clash.setdefault(clash, []).append(host.name)
            first.setdefault(listener.port, listener.what)
    for (port, one, two, key), hosts in hosts_by_clash.items():
        found = f"port {port} for {two}, which {one} has on {', '.join(hosts)}"
        yield env.problem(key, found, "a port of its own")


def port_range(env: Environment) -> Iterable[Problem]:
    """A slot whose last port is none."""
    for service in env.services.values():
        for slot in ("blue", "green"):
            last = max(service.ports_of(slot, service.instances.max), default=0)
            if last > 65535:
                found = f"{last} as the port of instance {service.instances.max}"
                yield env.problem(("services", service.name, "slots", slot), found, "ports up to 65535")


def addresses(env: Environment) -> Iterable[Problem]:
    """Two hosts of one address, in this environment or across both."""
    seen: dict[str, str] = {}
    for name, spec in env.common.hosts.items():
        key = ("hosts", name, "address")
        if spec.address in seen:
            yield env.problem(key, f"{spec.address}, which {seen[spec.address]} has", "an address of its own")
        seen.setdefault(spec.address, name)


def instances(env: Environment) -> Iterable[Problem]:
    """Not min <= base <= max."""
    for service in env.services.values():
        count = service.instances
        if not count.min <= count.base <= count.max:
            found = f"min {count.min}, base {count.base}, max {count.max}"
            yield env.problem(("services", service.name, "instances"), found, "min <= base <= max")


def requests(env: Environment) -> Iterable[Problem]:
    """An instance that is promised more memory than it may use."""
    for service in env.services.values():
        limits = service.limits
        if limits is not None and limits.memory_low is not None and limits.memory_low > limits.memory_max:
            key = ("services", service.name, "limits", "memory_low")
            expected = f"at most memory_max, {format_size(limits.memory_max)}"
            yield env.problem(key, format_size(limits.memory_low), expected)


def processors(env: Environment) -> Iterable[Problem]:
    """Instances that may use more cores than a host declares."""
    for service in env.services.values():
        quota = service.limits.cpu_quota_pct if service.limits else None
        least = min(env.hosts_of(service.role), key=lambda host: host.cores, default=None)
        if quota is not None and least is not None and quota > 100 * least.cores:
            found = f"{quota}, more than the {least.cores} cores of {least.name}"
            yield env.problem(
                ("services", service.name, "limits", "cpu_quota_pct"), found, f"{100 * least.cores} at most"
            )


def windows(env: Environment) -> Iterable[Problem]:
    """A maintenance window that ends before it begins, or is shorter than the work takes."""
    hours = env.common.maintenance.duration_h
    if hours.min > hours.max:
        found = f"min {hours.min}, max {hours.max}"
        yield env.problem(("maintenance", "duration_h"), found, "min <= max")
    for index, window in enumerate(env.common.maintenance.windows):
        start, end = window_minutes(window)
        key = ("maintenance", "windows", index)
        if start >= end:
            expected = "a window that ends later on the same day (two windows over midnight)"
            yield env.problem(key, describe(window), expected)
        elif end - start < 60 * hours.min:
            yield env.problem(key, describe(window), f"{hours.min} h at least, which duration_h says the work takes")


def ramps(env: Environment) -> Iterable[Problem]:
    """Ramps that do not grow to 100 percent."""
    steps = env.common.rollout.ramps
    if steps != sorted(set(steps)) or steps[-1] != 100:
        yield env.problem(("rollout", "ramps"), ", ".join(map(str, steps)), "percentages that grow and end with 100")


def side_by_side(env: Environment) -> Iterable[Problem]:
    """A role that is to share its batches with itself, or twice."""
    seen: set[str] = set()
    for number, roles in enumerate(env.common.rollout.side_by_side):
        for role in roles:
            if role in seen:
                yield env.problem(("rollout", "side_by_side", number), f"{role} again", "each role once")
            seen.add(role)


def components(env: Environment) -> Iterable[Problem]:
    """What each component finds wrong with its own section."""
    for stem in env.sections:
        check = getattr(project.component_model(stem), "check", None)
        if check is not None:
            yield from check(env)


def roles(env: Environment) -> Iterable[Problem]:
    """Services whose role no host holds."""
    for service in env.services.values():
        if not env.hosts_of(service.role):
            found = f"role {service.role}, which no host of {env.name} holds"
            yield env.problem(("services", service.name, "role"), found, f"a host with role {service.role}")


def pins(env: Environment) -> Iterable[Problem]:
    """Releases of services that are not described."""
    for name in env.releases:
        if name not in env.services:
            expected = f"one of {', '.join(env.services) or 'the services'}"
            yield env.problem(("releases", name), "a release of no service", expected)


def unused(env: Environment) -> list[Problem]:
    """Hosts whose every role, and roles that, neither a service nor a component makes use of (`mainstay check`)."""
    used: set[str] = {service.role for service in env.services.values()}
    for stem in env.sections:
        used |= set(getattr(project.component_model(stem), "ROLES", ()))
    return [
        env.problem(("hosts", host.name, "roles"), f"role {role}, which nothing uses", "roles that something uses")
        for host in env.hosts.values()
        for role in _unused_roles(host, used)
    ]


def unused_services(env: Environment) -> list[str]:
    """A sentence for each service that no component names and no variable points at; it may be a worker.

    A component's `model.py` names the services that it makes use of by a function `uses(env) -> set[str]`.
    """
    used: set[str] = set()
    for stem in env.sections:
        uses = getattr(project.component_model(stem), "uses", None)
        used |= uses(env) if uses is not None else set()
    called = {rule.address_of for service in env.services.values() for rule in service.env_vars.values()}
    return [
        f"{env.system}: no component and no variable makes use of the service {service.name}"
        for service in env.services.values()
        if service.name not in used and service.role not in called
    ]


def _unused_roles(host: Host, used: set[str]) -> list[str]:
    return [role for role in host.roles if role not in used]


Check = Callable[[Environment], Iterable[Problem]]
CLASHES: tuple[Check, ...] = (
    ports,
    port_range,
    addresses,
    instances,
    memory.clashes,
    requests,
    processors,
    alert_checks.thresholds,
    windows,
    ramps,
    side_by_side,
    upkeep_checks.storage,
    upkeep_checks.backup,
    incident_checks.clashes,
    log_checks.clashes,
    scaling_checks.clashes,
    release_checks.clashes,
    variable_checks.clashes,
    twin.clashes,
)
REFERENCES: tuple[Check, ...] = (
    roles,
    pins,
    incident_checks.references,
    log_checks.references,
    alert_checks.severities,
    scaling_checks.references,
    release_checks.references,
    upkeep_checks.targets,
    certificates.references,
    variable_checks.references,
    components,
)
