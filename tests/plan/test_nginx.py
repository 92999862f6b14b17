"""nginx's files for each kind of host."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from deploys.components.nginx import deploy
from deploys.components.nginx.files import files
from deploys.components.nginx.model import Site, refused, section
from mainstay.inventory import Environment
from tests.unit.inventories import Edit, copied, loaded


def texts(environment: Environment, name: str) -> dict[str, str]:
    return {managed.path: managed.content for managed in files(environment, environment.hosts[name])}


def site(folder: Path, *edits: Edit, name: str = "eai-web-1", which: str = "site") -> str:
    return texts(loaded(copied(folder, *edits)), name)[f"/etc/nginx/conf.d/50-everydayai-{which}.conf"]


def steps(monkeypatch: pytest.MonkeyPatch, environment: Environment, name: str) -> list[str]:
    """The folders and sets of files that an apply makes on the host, in its order."""
    made: list[str] = []
    monkeypatch.setattr(deploy.context, "current", lambda: (environment, environment.hosts[name]))
    monkeypatch.setattr(deploy, "folder", lambda path, name: made.append(path))
    monkeypatch.setattr(deploy, "installed", lambda files, name: made.append(name))
    monkeypatch.setattr(deploy.certificates, "self_signed", lambda folder, names, name: None)
    monkeypatch.setattr(deploy.units, "running", lambda units, name: None)
    deploy.apply()
    return made


@pytest.mark.covers("NX-01")
def test_upstream_names_every_app_host(tmp_path: Path) -> None:
    text = texts(loaded(copied(tmp_path)), "eai-web-1")["/etc/nginx/conf.d/20-upstreams.conf"]
    block = text[text.index("upstream everydayai-backend {") :].partition("}")[0]
    for number in (1, 2, 3):
        assert f"server 198.51.100.2{number}:8000 max_fails=3 fail_timeout=5s;" in block
    assert block.index("least_conn;") < block.index("keepalive 32;")


def test_one_app_host_needs_no_choice(tmp_path: Path) -> None:
    environment = loaded(copied(tmp_path), "staging")
    text = texts(environment, "eai-stg-web-1")["/etc/nginx/conf.d/20-upstreams.conf"]
    assert "least_conn" not in text
    assert "web-peers" not in text


def test_app_hosts_have_no_sites(tmp_path: Path) -> None:
    assert not [path for path in texts(loaded(copied(tmp_path)), "eai-app-1") if "50-" in path or "tls" in path]


@pytest.mark.covers("NX-04", "DF-71")
def test_every_location_with_a_header_repeats_the_security_headers(tmp_path: Path) -> None:
    for which in ("site", "api"):
        text = site(tmp_path / which, which=which)
        for block in re.findall(r"(?ms)^    location .*?^    \}$", text):
            if "add_header" in block:
                assert "include /etc/nginx/snippets/security-headers.conf;" in block, block
            if "error_page 418" in block:  # one that is given takes the place of all
                assert "error_page 503 " in block and "error_page 500 502 504 " in block, block


def test_a_prefix_is_itself_and_what_is_below_it(tmp_path: Path) -> None:
    text = site(tmp_path)
    assert "location = /api {" in text
    assert "location /api/ {" in text


def test_a_service_s_paths_are_told_as_clients_ask_for_them() -> None:
    given = {"/": "basket", "/auth": "auth", "/api": "api"}
    site = Site(server_names=["{domain}"], proxy=given, strip=["/auth"])
    assert site.outside("/auth", "/health") == "/auth/health"
    assert site.outside("/api", "/api/health") == "/api/health"
    assert site.outside("/", "/health") == "/health"
    for prefix, path in (("/api", "/health"), ("/", "/auth/x"), ("/", "/api"), ("/api", "/apiary")):
        assert site.outside(prefix, path) is None, (prefix, path)


@pytest.mark.covers("HC-01", "DF-83")
def test_metrics_and_profiles_are_refused_where_clients_could_ask_for_them(tmp_path: Path) -> None:
    def found(name: str, *edits: Edit) -> list[list[str]]:
        env = loaded(copied(tmp_path / name, *edits))
        return [refused(env, one) for one in section(env).sites.values()]

    assert found("plain") == [["/api/metrics", "/metrics"], ["/metrics"]]
    own = ("system.yaml", "metrics: {backend: /metrics}", "metrics: {backend: /internal/metrics}")
    both = ["/internal/metrics", "/metrics"]
    assert found("own", own) == [["/api/internal/metrics", "/api/metrics", "/metrics"], both]
    below = ("system.yaml", "metrics: {backend: /metrics}", "metrics: {backend: /api/prom}")
    assert "/api/prom" in found("below", below)[0]
    profile = ("system.yaml", "    drain_s: 30", "    profile: {heap: /prof/heap, all: /prof/}\n    drain_s: 30")
    assert found("profile", profile)[1] == ["/metrics", "/prof"]
    text = site(tmp_path / "text", own, which="api")
    assert '    location ~* "^/internal/metrics([/;]|$)" {\n        return 404;\n    }\n' in text


@pytest.mark.covers("NX-07")
def test_rate_limit_is_a_switch(tmp_path: Path) -> None:
    assert "limit_req" not in site(tmp_path / "off")
    on = ("system.yaml", "rate_limit: {enabled: false", "rate_limit: {enabled: true")
    found = texts(loaded(copied(tmp_path / "on", on)), "eai-web-1")
    assert "limit_req zone=clients burst=100 nodelay;" in found["/etc/nginx/conf.d/50-everydayai-api.conf"]
    assert "rate=50r/s" in found["/etc/nginx/nginx.conf"]


def test_a_site_may_have_a_limit_of_its_own(tmp_path: Path) -> None:
    own = "{requests_per_s: 5, burst: 7, enabled: true}"
    edit = ("system.yaml", "proxy: {/api: backend}", f"proxy: {{/api: backend}}, rate_limit: {own}")
    found = texts(loaded(copied(tmp_path, edit)), "eai-web-1")
    blocks = re.findall(
        r"(?ms)^    location (.*?) \{$(.*?)^    \}$", found["/etc/nginx/conf.d/50-everydayai-site.conf"]
    )
    limited = [name for name, text in blocks if "limit_req zone=clients-site burst=7 nodelay;" in text]
    assert limited == ["= /api", "/api/", "@once/api"] == [name for name, text in blocks if "limit_req" in text]
    assert "limit_req" not in found["/etc/nginx/conf.d/50-everydayai-api.conf"]
    assert re.findall(r"limit_req_zone .*", found["/etc/nginx/nginx.conf"]) == [
        "limit_req_zone $binary_remote_addr zone=clients-site:10m rate=5r/s;"
    ]
    assert "limit_req" not in texts(loaded(copied(tmp_path / "app", edit)), "eai-app-1")["/etc/nginx/nginx.conf"]


@pytest.mark.covers("NX-01")
def test_a_host_of_more_weight_gets_more(tmp_path: Path) -> None:
    edit = ("production.yaml", "\nhosts:", "\nnginx: {weights: {eai-app-2: 3}}\n\nhosts:")
    text = texts(loaded(copied(tmp_path, edit)), "eai-web-1")["/etc/nginx/conf.d/20-upstreams.conf"]
    assert re.findall(r"server (.*?) max_fails", text)[:3] == [
        "198.51.100.21:8000",
        "198.51.100.22:8000 weight=3",
        "198.51.100.23:8000",
    ]


@pytest.mark.covers("NX-05")
@pytest.mark.parametrize(("said", "root"), [("", "/var/www/acme"), ("/var/www/html", "/var/www/html")])
def test_challenges_are_answered_from_the_folder_that_the_inventory_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, said: str, root: str
) -> None:
    """On every name, known or not; the folder is made before nginx is told of it."""
    section = f"certificates: {{webroot: {said}, live_dir: '/live/{{domain}}'}}\n\n" if said else ""
    environment = loaded(copied(tmp_path, ("system.yaml", "oncall:", f"{section}oncall:")))
    found = texts(environment, "eai-web-1")
    for path in ("10-default", "50-everydayai-site", "50-everydayai-api"):
        (block,) = re.findall(r"acme-challenge/ \{([^}]*)\}", found[f"/etc/nginx/conf.d/{path}.conf"])
        assert f" root {root};" in block, path
    assert steps(monkeypatch, environment, "eai-web-1") == [root, "nginx configuration"]
    assert steps(monkeypatch, environment, "eai-app-1") == ["nginx configuration"]


@pytest.mark.covers("EV-15")
def test_largest_upload_is_the_inventory_s(tmp_path: Path) -> None:
    assert "client_max_body_size 10485760;" in texts(loaded(copied(tmp_path)), "eai-web-1")["/etc/nginx/nginx.conf"]


def test_http2_is_said_as_each_debian_s_nginx_wants_it(tmp_path: Path) -> None:
    assert "listen 443 ssl http2;" in site(tmp_path / "12")
    trixie = ("production.yaml", "roles: [web], memory: 2G", "roles: [web], debian: 13, memory: 2G")
    text = site(tmp_path / "13", trixie)
    assert "listen 443 ssl;" in text
    assert "http2 on;" in text


PRELOAD = (
    "system.yaml",
    "static: frontend, ",
    "static: frontend, preload: [/static/main.css, /static/app.js, /f/a.woff2], ",
)


@pytest.mark.covers("DF-70", "NX-03")
def test_what_was_pushed_is_told_in_a_header(tmp_path: Path) -> None:
    text = site(tmp_path / "with", PRELOAD)
    links = [
        "</static/main.css>; rel=preload; as=style",
        "</static/app.js>; rel=preload; as=script",
        "</f/a.woff2>; rel=preload; as=font; crossorigin",
    ]
    block = text[text.index("location = /index.html {") :].partition("}")[0]
    assert f'add_header Link "{", ".join(links)}" always;' in block
    assert "security-headers.conf" in block and "no-cache" in block
    assert "http2_push" not in text
    assert "location = /index.html" not in site(tmp_path / "without")


def test_a_port_is_open_to_services_that_are_told_where_it_is(tmp_path: Path) -> None:
    worker = (
        "  worker:\n    kind: python\n    role: ml\n    port: 8100\n    slots: {blue: 18100, green: 28100}\n"
        "    exec: bin/worker --port {port}\n    limits: {memory_max: 100M}\n    health: [{path: /health}]\n"
    )
    told = ("system.yaml", "      PGHOST:", "      WORKER: {type: host, address_of: ml, required: true}\n      PGHOST:")
    place = ("production.yaml", "roles: [cache]", "roles: [cache, ml]")
    env = loaded(copied(tmp_path, ("system.yaml", "services:\n", f"services:\n{worker}"), told, place))
    (port,) = [one for one in env.listeners(env.hosts["eai-cache-1"]) if one.port == 8100]
    assert set(port.from_roles) == {"web", "monitoring", "app"}
    (own,) = [one for one in env.listeners(env.hosts["eai-app-1"]) if one.port == 8000]
    assert set(own.from_roles) == {"web", "monitoring"}
