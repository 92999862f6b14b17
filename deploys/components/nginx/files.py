"""nginx's files: what every host with nginx has, and the sites of web hosts."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import PurePosixPath

from deploys.components.nginx.model import (
    PASSED_ON,
    PRELOADED_AS,
    Section,
    Site,
    certificate_path,
    limits,
    listen_address,
    refused,
    section,
)
from deploys.components.release.files import base_of
from mainstay.files import ManagedFile
from mainstay.inventory import Environment, Host, Service
from mainstay.render import render

ACME_ROOT = "/var/www/acme"
MAINTENANCE_FLAG = "/etc/nginx/maintenance.on"
PAGES = "/usr/local/share/mainstay/pages"
OWN_FOLDERS = ["/etc/nginx/conf.d", "/etc/nginx/sites-enabled"]

_MESSAGES = {
    "maintenance": ("Back soon", "We are working on this service. Please come back in a few minutes."),
    "unavailable": ("Not available", "Something is wrong on our side. Please try again in a moment."),
}


def challenge_root(environment: Environment) -> str:
    """The folder of challenges by which an authority proves the sites' names; the inventory's, where it says one."""
    certificates = environment.common.certificates
    return certificates.webroot if certificates else ACME_ROOT


@dataclass(frozen=True)
class Proxied:
    """A prefix of a site as its template takes it.

    Attributes:
        stem: the prefix, empty for `/`.
        upstream: where its requests go.
        strip: whether the service gets them without the prefix.
    """

    stem: str
    upstream: str
    strip: bool

    @property
    def locations(self) -> list[str]:
        """A prefix such as /api is itself and what is below it, and not /apiary."""
        return [f"= {self.stem}", f"{self.stem}/"] if self.stem else ["/"]

    @property
    def pattern(self) -> str:
        """The prefix in a regular expression."""
        return re.escape(self.stem)


def certificate_folder(environment: Environment) -> str:
    """Where certificates of the environment's sites are: the inventory's in `given`, others behind a link `live`."""
    return f"/etc/ssl/{environment.system}"


def live_folder(environment: Environment) -> str:
    """The folder of the certificate in use: `fullchain.pem` and `privkey.pem`."""
    return f"{certificate_folder(environment)}/{'given' if certificate_path(environment) else 'live'}"


def security_headers(nginx: Section) -> dict[str, str]:
    """The headers of every answer (NX-04)."""
    headers = {
        "Strict-Transport-Security": nginx.hsts.value,
        "X-Frame-Options": nginx.frame_options,
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "strict-origin-when-cross-origin",
    }
    if nginx.content_security_policy:
        headers["Content-Security-Policy"] = nginx.content_security_policy
    return headers


def files(environment: Environment, member: Host) -> list[ManagedFile]:
    """All of them count as one: `nginx -t` reads them together."""
    nginx = section(environment)
    headers = security_headers(nginx)
    web = "web" in member.roles
    drains = [service.drain_s for service in environment.services.values() if service.port is not None]
    proxy = {"headers": headers, "timeout_s": f"{nginx.proxy_timeout:g}"}
    texts = {
        "/etc/nginx/nginx.conf": render(
            "nginx/nginx.conf.j2",
            nginx=nginx,
            cores=member.cores,
            web=web,
            shutdown_s=max(drains, default=30) + 5,
            zones={zone: limit.requests_per_s for zone, limit in limits(nginx).values()} if web else {},
        ),
        "/etc/nginx/conf.d/00-status.conf": render("nginx/status.conf.j2", port=nginx.status_port),
        "/etc/nginx/snippets/proxy.conf": render("nginx/proxy.conf.j2", again=True, **proxy),
        "/etc/nginx/snippets/proxy-once.conf": render("nginx/proxy.conf.j2", again=False, **proxy),
        "/etc/nginx/snippets/security-headers.conf": render("nginx/security-headers.conf.j2", headers=headers),
    }
    if web:
        texts |= _web(environment, member, nginx) | pages()
    certificate = _given(environment) if web else []
    return [*certificate, *(ManagedFile(path, text) for path, text in texts.items())]


def _given(environment: Environment) -> list[ManagedFile]:
    """The certificate that the inventory gives, with its key."""
    path, key = certificate_path(environment), section(environment).tls.key
    if path is None or key is None:
        return []
    live = live_folder(environment)
    return [
        ManagedFile(f"{live}/fullchain.pem", path.read_text(encoding="utf-8")),
        ManagedFile(f"{live}/privkey.pem", f"{environment.secrets.get(key)}\n", mode=0o600),
    ]


def _web(environment: Environment, member: Host, nginx: Section) -> dict[str, str]:
    live = live_folder(environment)
    upstreams = _upstreams(environment, member, nginx)
    texts = {
        "/etc/nginx/snippets/tls.conf": render(
            "nginx/tls.conf.j2", certificate=f"{live}/fullchain.pem", key=f"{live}/privkey.pem"
        ),
        "/etc/nginx/conf.d/10-default.conf": render(
            "nginx/default.conf.j2", nginx=nginx, challenge_root=challenge_root(environment)
        ),
        "/etc/nginx/conf.d/20-upstreams.conf": render(
            "nginx/upstreams.conf.j2", upstreams=upstreams, keepalive=nginx.upstream_keepalive
        ),
    }
    for name in nginx.sites:
        path = f"/etc/nginx/conf.d/50-{environment.system}-{name}.conf"
        texts[path] = _site(environment, member, nginx, name)
    return texts


def _site(environment: Environment, member: Host, nginx: Section, name: str) -> str:
    site, (zone, limit) = nginx.sites[name], limits(nginx).get(name, ("", None))
    return render(
        "nginx/site.conf.j2",
        nginx=nginx,
        limited=f"zone={zone} burst={limit.burst} nodelay" if limit else "",
        names=site.names(environment),
        https_suffix="" if nginx.https_port == 443 else f":{nginx.https_port}",
        # nginx 1.25 took `http2` from `listen` and made a directive of it; Debian 12 has 1.22, Debian 13 1.26.
        http2_on_listen=" http2" if member.debian == 12 else "",
        challenge_root=challenge_root(environment),
        maintenance_flag=MAINTENANCE_FLAG,
        pages=PAGES,
        page_type="html" if site.static else "json",
        passed_on=PASSED_ON,
        refused=[re.escape(path) for path in refused(environment, site)],
        proxies=_proxies(environment, site),
        whole="/" in site.proxy,
        static=base_of(environment, environment.services[site.static]) if site.static else "",
        peers=_peers_name(environment) if site.static and _peers(environment, member) else "",
        headers=security_headers(nginx),
        preload=[_link(path) for path in site.preload],
    )


def _link(path: str) -> str:
    """One file in a Link header; a font is fetched as any page may, whoever asks for it."""
    kind = PRELOADED_AS[PurePosixPath(path).suffix]
    return f"<{path}>; rel=preload; as={kind}" + ("; crossorigin" if kind == "font" else "")


def _proxies(environment: Environment, site: Site) -> list[Proxied]:
    return [
        Proxied(stem=prefix.rstrip("/"), upstream=f"{environment.system}-{service}", strip=prefix in site.strip)
        for prefix, service in site.proxy.items()
    ]


def _upstreams(environment: Environment, member: Host, nginx: Section) -> dict[str, dict[str, list[str]]]:
    """Every proxied service on its canonical port, and the other web hosts, from which missing assets come."""
    names = {name for site in nginx.sites.values() for name in site.proxy.values()}
    found = {}
    for name in sorted(names):
        found[f"{environment.system}-{name}"] = {"servers": servers(environment, nginx, environment.services[name])}
    peers = _peers(environment, member)
    if peers and any(site.static for site in nginx.sites.values()):
        addresses = [f"{listen_address(host)}:{nginx.https_port}" for host in peers]
        found[_peers_name(environment)] = {"servers": addresses}
    return found


def servers(environment: Environment, nginx: Section, service: Service) -> list[str]:
    """Where a service answers, as `server` takes it: its canonical port on each of its hosts, and their weights."""
    hosts = environment.hosts_of(service.role)
    return [f"{listen_address(host)}:{service.port}{_weight(nginx, host)}" for host in hosts]


def _weight(nginx: Section, host: Host) -> str:
    weight = nginx.weights.get(host.name, 1)
    return f" weight={weight}" if weight != 1 else ""


def _peers(environment: Environment, member: Host) -> list[Host]:
    return [host for host in environment.hosts_of("web") if host.name != member.name]


def _peers_name(environment: Environment) -> str:
    return f"{environment.system}-web-peers"


def pages() -> dict[str, str]:
    """What visitors see in maintenance and when no service answers, by the file."""
    texts = {}
    for name, (title, text) in _MESSAGES.items():
        texts[f"{PAGES}/{name}.html"] = render("nginx/page.html.j2", title=title, text=text)
        texts[f"{PAGES}/{name}.json"] = f'{{"detail": "{name}"}}\n'
    return texts
