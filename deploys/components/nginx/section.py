"""The `nginx` section itself: sites on web hosts; on every app host the canonical ports of its services."""

from __future__ import annotations

import re
from pathlib import Path, PurePosixPath
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from mainstay.inventory import (
    ByteSize,
    Duration,
    Environment,
    Line,
    Name,
    Port,
    SecretName,
    StrictModel,
    UrlPath,
    per_env,
)
from mainstay.inventory.fields import HostName, matching

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
CertificateFile = Annotated[
    str,
    AfterValidator(
        matching(
            r"([A-Za-z0-9_-][A-Za-z0-9._-]*/)*[A-Za-z0-9_-][A-Za-z0-9._-]*",
            "a path below the folder of system.yaml, such as certificates/production.pem",
        )
    ),
]


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
    strip: list[UrlPath] = Field(
        default_factory=list, description="prefixes of proxy that their service does not know: taken off on the way"
    )
    rate_limit: RateLimit | None = per_env(None, description="of this site alone, instead of the section's")
    preload: list[Preloaded] = Field(default_factory=list, description="what the index's header has browsers fetch too")

    def names(self, env: Environment) -> list[str]:
        """The server names in this environment."""
        values = {"domain": env.domain, "api_domain": env.api_domain}
        return [name.format(**values) for name in self.server_names]

    def outside(self, prefix: str, path: str) -> str | None:
        """Where clients find `path` of the service behind `prefix`; None where the site does not pass it on."""
        asked = f"{prefix.rstrip('/')}{path}" if prefix in self.strip else path
        there = [one for one in self.proxy if f"{asked}/".startswith(f"{one.rstrip('/')}/")]
        return asked if max(there, key=len, default=None) == prefix else None


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
    """Where the sites' certificate comes from: a file of the inventory, else each web host, else another issuer."""

    certificate: CertificateFile | None = per_env(None, description="beside system.yaml: it and its chain, in PEM")
    key: SecretName | None = per_env(None, description="name of the secret with the certificate's key, in PEM")
    self_signed: bool = per_env(True, description="where none is given, each web host signs its own")


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


def site_names(env: Environment) -> list[str]:
    """Every server name, the domain first, each once."""
    sites = section(env).sites.values()
    return list(dict.fromkeys([env.domain, *(name for site in sites for name in site.names(env))]))


def certificate_path(env: Environment) -> Path | None:
    """The certificate that the inventory gives, None where it gives none."""
    given = section(env).tls.certificate
    return env.root / "inventories" / env.system / given if given else None
