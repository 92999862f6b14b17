"""The `nginx` section: sites on web hosts; on every app host the canonical ports of its services."""

from __future__ import annotations

import re
from pathlib import PurePosixPath
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from mainstay.inventory import (
    ByteSize,
    Duration,
    Environment,
    Host,
    Line,
    Listener,
    Name,
    Port,
    Problem,
    StrictModel,
    UrlPath,
    per_env,
)
from mainstay.inventory.fields import HostName

ROLES = frozenset({"web", "app", "ml"})


def _server_name(value: str) -> str:
    name = value.replace("{domain}", "d.test").replace("{api_domain}", "a.test")
    if not re.fullmatch(r"[a-z0-9-]+(\.[a-z0-9-]+)+", name):
        raise ValueError("a domain name; {domain} and {api_domain} stand for the environment's own")
    return value


def _header_value(value: str) -> str:
    if set(value) & set('"\\$'):
        raise ValueError("a header's value without double quotes, backslashes and dollar signs")
    return value


PRELOADED_AS = {".css": "style", ".js": "script", ".mjs": "script", ".woff2": "font"}
"""What a browser must be told of a file that it is to fetch ahead, by the end of its name."""


def _preloaded(value: str) -> str:
    if not re.fullmatch(r"/[A-Za-z0-9._~/-]+", value) or PurePosixPath(value).suffix not in PRELOADED_AS:
        raise ValueError(f"the path of a file that ends with {', '.join(PRELOADED_AS)}")
    return value


Preloaded = Annotated[str, AfterValidator(_preloaded)]


class RateLimit(StrictModel):
    """Requests of one client address beyond this get 429 (NX-07)."""

    enabled: bool = per_env(False)
    requests_per_s: int = per_env(50, ge=1, le=100000)
    burst: int = per_env(100, ge=0, le=100000)


class Site(StrictModel):
    """One virtual server: its names, and which service answers where."""

    server_names: list[Annotated[str, AfterValidator(_server_name)]] = Field(min_length=1)
    static: Name | None = Field(None, description="the static service served at /")
    proxy: dict[UrlPath, Name] = Field(default_factory=dict, description="path prefix to service")
    rate_limit: RateLimit | None = per_env(None, description="of this site alone, instead of the section's")
    preload: list[Preloaded] = Field(default_factory=list, description="what the index's header has browsers fetch too")

    def names(self, env: Environment) -> list[str]:
        """The server names in this environment."""
        values = {"domain": env.domain, "api_domain": env.api_domain}
        return [name.format(**values) for name in self.server_names]


class Hsts(StrictModel):
    """Strict-Transport-Security."""

    max_age_s: int = per_env(31536000, ge=0, le=63072000)
    include_subdomains: bool = per_env(False)
    preload: bool = per_env(False)

    @property
    def value(self) -> str:
        """The header's value."""
        parts = [f"max-age={self.max_age_s}"]
        parts += ["includeSubDomains"] if self.include_subdomains else []
        parts += ["preload"] if self.preload else []
        return "; ".join(parts)


class Tls(StrictModel):
    """Where certificates come from."""

    self_signed: bool = per_env(True)


class Section(StrictModel):
    """How requests come in."""

    http_port: Port = 80
    https_port: Port = 443
    status_port: Port = Field(8090, description="loopback only: stub_status")
    sites: dict[Name, Site] = Field(default_factory=dict)
    weights: dict[HostName, Annotated[int, Field(ge=1, le=100)]] = per_env(
        default_factory=dict, description="requests that a host gets for each one of a host that is not named (NX-01)"
    )
    upstream_keepalive: int = per_env(32, ge=1, le=4096, description="idle connections kept to each upstream")
    client_max_body_size: ByteSize = Field("10M", validate_default=True, description="EV-15: one value for all")
    proxy_timeout: Duration = Field("60s", validate_default=True, description="longest wait for a service's answer")
    ipv6: bool = per_env(False, description="web hosts listen on IPv6 too")
    frame_options: Literal["DENY", "SAMEORIGIN"] = "DENY"
    content_security_policy: Annotated[Line, AfterValidator(_header_value)] | None = None
    retry_after_s: int = Field(600, ge=1, le=86400, description="Retry-After in maintenance, in seconds (DF-73)")
    hsts: Hsts = Field(default_factory=Hsts)
    rate_limit: RateLimit = Field(default_factory=RateLimit)
    tls: Tls = Field(default_factory=Tls)


def section(env: Environment) -> Section:
    """The environment's own section."""
    return env.section("nginx", Section)


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
    named = {s.role for s in env.services.values() if any(rule.address_of == role for rule in s.env_vars.values())}
    return sorted(named - {role})


def uses(env: Environment) -> set[str]:
    """The services that a site answers with."""
    sites = section(env).sites.values()
    return {site.static for site in sites if site.static} | {name for site in sites for name in site.proxy.values()}


def check(env: Environment) -> list[Problem]:
    """Sites name services that exist and that can answer; weights name hosts that are asked."""
    problems = _check_weights(env)
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
        for path, service in site.proxy.items():
            if _kind(env, service) in (None, "static"):
                problems.append(env.problem((*key, "proxy", path), repr(service), "a service that listens on a port"))
    return problems


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
