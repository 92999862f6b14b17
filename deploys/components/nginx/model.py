"""What the `nginx` section adds to an environment: the ports that are opened, and what is refused."""

from __future__ import annotations

from deploys.components.monitoring.section import section as monitoring
from deploys.components.nginx import given
from deploys.components.nginx.given import check_secrets
from deploys.components.nginx.section import (
    PRELOADED_AS,
    ROLES,
    RateLimit,
    Section,
    Site,
    certificate_path,
    section,
    site_names,
)
from mainstay.inventory import Environment, Host, Listener, Problem, Service

PASSED_ON = "GET|HEAD|OPTIONS|POST|PATCH"
"""The methods with which another server may be asked: safe ones, and those that nginx itself sends once."""

__all__ = [
    "PASSED_ON",
    "PRELOADED_AS",
    "ROLES",
    "Section",
    "Site",
    "certificate_path",
    "check",
    "check_secrets",
    "limits",
    "listen_address",
    "listeners",
    "profiles",
    "refused",
    "section",
    "site_names",
    "uses",
]


def listen_address(host: Host) -> str:
    """The host's private address, as `listen` and `server` take it."""
    return f"[{host.address}]" if ":" in host.address else host.address


def listeners(env: Environment, host: Host) -> list[Listener]:
    """On web hosts http and https for all; on app hosts each service's canonical port, for web hosts and probes."""
    nginx = section(env)
    always = ["web", *(["monitoring"] if "monitoring" in env.sections else [])]
    found = [Listener(nginx.status_port, "nginx status", "loopback", key=("nginx", "status_port"))]
    if "web" in host.roles:
        found.append(Listener(nginx.http_port, "nginx http", "public", key=("nginx", "http_port")))
        found.append(Listener(nginx.https_port, "nginx https", "public", key=("nginx", "https_port")))
    for service in env.services_on(host):
        if service.port is not None:
            key = ("services", service.name, "port")
            callers = tuple(dict.fromkeys([*always, *_callers(env, service.role)]))
            found.append(Listener(service.port, f"nginx for {service.name}", "private", callers, key))
    return found if len(found) > 1 else []


def _callers(env: Environment, role: str) -> list[str]:
    """The roles of services that are told where hosts of `role` are, other than those hosts themselves."""
    named = {service.role for service in env.services.values() if service.is_told(role)}
    return sorted(named - {role})


def uses(env: Environment) -> set[str]:
    """The services that a site answers with."""
    sites = section(env).sites.values()
    return {site.static for site in sites if site.static} | {name for site in sites for name in site.proxy.values()}


def check(env: Environment) -> list[Problem]:
    """Sites have a host, and name services that exist and that can answer; weights name hosts that are asked."""
    problems = [*_check_hosts(env), *_check_weights(env), *_check_private(env), *given.check(env)]
    for name, site in section(env).sites.items():
        key = ("nginx", "sites", name)
        if site.static is None and not site.proxy:
            problems.append(env.problem(key, "neither static nor proxy", "a service that answers"))
        if site.static is not None and "/" in site.proxy:
            problems.append(env.problem((*key, "proxy", "/"), "a proxy for / beside static", "one that answers /"))
        if site.static is None and site.preload:
            problems.append(env.problem((*key, "preload"), "preload without static", "an index whose header has it"))
        if site.static is not None and _kind(env, site.static) != "static":
            problems.append(env.problem((*key, "static"), repr(site.static), "a service of kind static"))
        for index, prefix in enumerate(site.strip):
            if prefix not in site.proxy or prefix == "/":
                problems.append(env.problem((*key, "strip", index), repr(prefix), "a prefix of proxy, other than /"))
        for path, service in site.proxy.items():
            if _kind(env, service) in (None, "static"):
                problems.append(env.problem((*key, "proxy", path), repr(service), "a service that listens on a port"))
    return [*problems, *_check_names(env), *_check_site_limits(env)]


def _check_names(env: Environment) -> list[Problem]:
    """nginx answers a name by the first site that has it, and only warns of the second."""
    first: dict[str, str] = {}
    return [
        env.problem(
            ("nginx", "sites", site, "server_names", index),
            f"{name}, which the site {first[name]} has in {env.env}",
            "a name of its own",
        )
        for site, declared in section(env).sites.items()
        for index, name in enumerate(declared.names(env))
        if first.setdefault(name, site) != site
    ]


def _check_site_limits(env: Environment) -> list[Problem]:
    """Requests are counted where they go to a service."""
    return [
        env.problem(
            ("nginx", "sites", name, "rate_limit", "enabled"),
            "true for a site without proxy",
            "false, or a proxy: files are not limited",
        )
        for name, site in section(env).sites.items()
        if site.rate_limit is not None and site.rate_limit.enabled and not site.proxy
    ]


def _check_hosts(env: Environment) -> list[Problem]:
    """Without a web host nobody answers on the sites' names, and an apply would look as if all were well."""
    sites = section(env).sites
    if not sites or env.hosts_of("web"):
        return []
    found = f"{', '.join(sites)}, which no host of {env.name} serves"
    return [env.problem(("nginx", "sites"), found, "a host with role web")]


def _check_weights(env: Environment) -> list[Problem]:
    proxied = {name for site in section(env).sites.values() for name in site.proxy.values() if name in env.services}
    asked = [host.name for name in proxied for host in env.hosts_of(env.services[name].role)]
    return [
        env.problem(
            ("nginx", "weights", name), name, f"a host that a site's requests go to: {', '.join(sorted(asked))}"
        )
        for name in section(env).weights
        if name not in asked
    ]


def _check_private(env: Environment) -> list[Problem]:
    """Whoever keeps `/` from clients keeps all of the service from them."""
    paths = [(("monitoring", "metrics", name), path) for name, path in _metrics(env).items()]
    for service in env.services.values():
        paths += [(("services", service.name, "profile", name), path) for name, path in service.profile.items()]
    return [env.problem(key, "'/'", "a path below it: clients are refused it") for key, path in paths if path == "/"]


def profiles(service: Service) -> list[str]:
    """The paths that nginx keeps to itself: profiles tell of memory, and taking one slows the program (DF-83)."""
    own = {"/debug/pprof/"} if service.kind == "go" else set()
    return sorted(own | set(service.profile.values()))


def refused(env: Environment, site: Site) -> list[str]:
    """What a site's clients get a 404 for, itself and below: metrics and profiles of its services (HC-01, DF-83).

    A service may answer below its prefix and at its own root; so both are refused.
    """
    found = {"/metrics"}
    for prefix, name in site.proxy.items():
        for path in ["/metrics", _metrics(env).get(name, "/metrics"), *profiles(env.services[name])]:
            outside = site.outside(prefix, path)
            found |= {f"{prefix.rstrip('/')}{path}".rstrip("/"), *([outside.rstrip("/")] if outside else [])}
    return sorted(path for path in found if not any(path.startswith(f"{other}/") for other in found))


def _metrics(env: Environment) -> dict[str, str]:
    return monitoring(env).metrics if "monitoring" in env.sections else {}


def limits(nginx: Section) -> dict[str, tuple[str, RateLimit]]:
    """For each site that is limited: the zone in which its clients are counted, and its limit."""
    found = {}
    for name, site in nginx.sites.items():
        zone, limit = ("clients", nginx.rate_limit) if site.rate_limit is None else (f"clients-{name}", site.rate_limit)
        if limit.enabled:
            found[name] = (zone, limit)
    return found


def _kind(env: Environment, name: str) -> str | None:
    return env.services[name].kind if name in env.services else None
