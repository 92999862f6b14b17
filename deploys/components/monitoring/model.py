"""What the `monitoring` section adds to an environment: the ports that are opened, and what is refused."""

from __future__ import annotations

from collections.abc import Iterator

from deploys.components.monitoring import limits, measures, precedence
from deploys.components.monitoring.exporters import exporters, has_postgres, has_redis, measured_services, monitor_role
from deploys.components.monitoring.rules import groups, severities
from deploys.components.monitoring.section import CRITICAL, ROLES, WARNING, Section, section
from deploys.components.nginx import model as nginx
from deploys.components.redis import model as redis
from mainstay.inventory import Environment, Host, Listener, Problem
from mainstay.inventory.alert_checks import THRESHOLD_UNITS
from mainstay.inventory.system import Alert
from mainstay.inventory.yamlfile import KeyPath

__all__ = ["ROLES", "Section", "check", "listeners", "section"]

REDIS_NEEDS = frozenset({"ping", "info"})
"""What the exporter asks; everything else may be denied to it."""


def listeners(env: Environment, host: Host) -> list[Listener]:
    """Exporters for the monitoring hosts alone; the servers on loopback, where an operator's SSH tunnel ends."""
    own = section(env)
    found = [
        _listener(exporter.kind, exporter.port, "loopback" if exporter.loopback else "private")
        for exporter in exporters(env, host)
    ]
    if measured_services(env, host):
        key = ("monitoring", "ports", "services")
        found.append(Listener(own.ports.services, "nginx for metrics of services", "private", ("monitoring",), key))
    if "monitoring" in host.roles:
        found += [_listener(name, getattr(own.ports, name), "loopback") for name in ("prometheus", "alertmanager")]
    return found


def _listener(kind: str, port: int, scope: str) -> Listener:
    key = ("monitoring", "ports", kind)
    if scope == "loopback":
        return Listener(port, f"{kind} (monitoring)", "loopback", (), key)
    return Listener(port, f"metrics of {kind}", "private", ("monitoring",), key)


def check(env: Environment) -> list[Problem]:
    """Every rule has data, every alert somebody who hears of it, and every exporter may do what it needs."""
    told = [*_thresholds(env), *_alerts(env), *precedence.check(env), *_routes(env), *_days(env)]
    return [*_hosts(env), *_metrics(env), *_logins(env), *told]


def _hosts(env: Environment) -> Iterator[Problem]:
    if not env.hosts_of("monitoring"):
        yield env.problem(("monitoring",), "the section and no host with role monitoring", "such a host")


def _metrics(env: Environment) -> Iterator[Problem]:
    for name in section(env).metrics:
        service = env.services.get(name)
        key = ("monitoring", "metrics", name)
        if service is None or service.kind == "static":
            yield env.problem(key, repr(name), "a service that listens on a port")
        elif "nginx" not in env.sections or service.role not in nginx.ROLES:
            yield env.problem(key, f"a service on {service.role} hosts without nginx", "hosts whose nginx passes to it")


def _thresholds(env: Environment) -> Iterator[Problem]:
    there, known = measures.measures(env), measures.known()
    for name in env.common.thresholds:
        if name not in there:
            key = ("thresholds", name)
            if name in known:
                yield env.problem(key, "a threshold whose metric no target gives", known[name])
            elif name.endswith(THRESHOLD_UNITS):  # else that is what is wrong with it, and is said
                yield env.problem(key, "a threshold that nothing measures", f"one of {', '.join(known)}")


def _alerts(env: Environment) -> Iterator[Problem]:
    there, known = measures.measures(env), measures.known()
    for severity, alerts in env.common.alerts.items():
        for index, alert in enumerate(alerts):
            key = ("alerts", severity, index)
            name = limits.measure_of(alert)
            giver = known.get(name or "") or limits.giver(alert)
            if name is not None and name in there:
                yield from _side(env, key, alert, there[name])
            elif name is None and limits.given(env, alert):
                continue
            elif giver is not None:
                yield env.problem(key, f"{alert.name}, whose metric no target gives", giver)
            else:
                found = f"{alert.name}, for which there is no rule"
                expected = "service_down (health fails N times in Mm), database_lost, redis_lost, or a measure's name "
                yield env.problem(key, found, f"{expected}with above_pct, below_pct or above_ms")


def _side(env: Environment, key: KeyPath, alert: Alert, measure: measures.Measure) -> Iterator[Problem]:
    """A limit on the side on which all is well: read the other way round, it would be a surprise at night."""
    if alert.limit is None or limits.faces(alert, measure):
        return
    word, _ = alert.limit
    wrong, right, worse = ("above", "below", "lower") if measure.falls else ("below", "above", "higher")
    found = f"{word} for {alert.name}, which is worse the {worse} it is"
    yield env.problem((*key, word), found, word.replace(wrong, right))


def _logins(env: Environment) -> Iterator[Problem]:
    hosts = list(env.hosts.values())
    if any(has_postgres(env, host) for host in hosts) and monitor_role(env) is None:
        yield env.problem(("postgres", "roles"), "no role of kind monitor", "one that the exporter logs in as")
    if not any(has_redis(env, host) for host in hosts):
        return
    key, name = ("monitoring", "redis_user"), section(env).redis_user
    user = redis.section(env).users.get(name or "")
    if user is None:
        yield env.problem(key, repr(name) if name else "none", "a user of redis.users that the exporter logs in as")
    elif not {f"+{command}" for command in REDIS_NEEDS} <= set(user.rules):
        yield env.problem(("redis", "users", name or "", "rules"), "rules that do not name them", "+ping and +info")


def _routes(env: Environment) -> Iterator[Problem]:
    own, known = section(env), severities(env)
    for severity, route in own.routes.items():
        key = ("monitoring", "routes", severity)
        if severity not in known:
            yield env.problem(key, "a severity that is not described", f"one of {', '.join(known)}")
        if route.receiver not in own.receivers:
            yield env.problem((*key, "receiver"), repr(route.receiver), "one of monitoring.receivers")
        if route.hours is not None and route.hours not in own.hours:
            yield env.problem((*key, "hours"), repr(route.hours), "one of monitoring.hours")
    if own.watchdog is not None and own.watchdog not in own.receivers:
        yield env.problem(("monitoring", "watchdog"), repr(own.watchdog), "one of monitoring.receivers")
    told = {rule.severity for group in groups(env) for rule in group.rules} - {"none"}
    for severity in [name for name in known if name in told | {CRITICAL, WARNING} and name not in own.routes]:
        found = f"no route for {severity}"
        yield env.problem(("monitoring", "routes"), found, "one for each severity that an alert has")


def _days(env: Environment) -> Iterator[Problem]:
    days = section(env).certificate_days
    if days.warn <= days.crit:
        yield env.problem(("monitoring", "certificate_days"), f"warn {days.warn}, crit {days.crit}", "warn > crit")
    for name, hours in section(env).hours.items():
        if hours.start >= hours.end:
            yield env.problem(("monitoring", "hours", name), f"{hours.start} to {hours.end}", "an end after the start")
