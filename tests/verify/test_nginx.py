"""nginx as clients and attackers meet it: listeners, TLS, headers on every answer, nothing public by accident."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from deploys.components.nginx import asking, certificate, files, model
from deploys.components.nginx.asking import Answer
from facts.certificates import LiveCertificate, parse_certificate
from mainstay.inventory import Environment, HealthCheck, Host, Service

ON_HOSTS = pytest.mark.roles("web", "app", "ml")
ON_WEB = pytest.mark.roles("web")
EXPIRES_SOON = timedelta(days=14)

ONCE = "/etc/nginx/snippets/proxy-once.conf"

Ask = Callable[..., Answer]


@pytest.fixture(scope="module")
def nginx(environment: Environment) -> model.Section:
    """The environment's section."""
    return model.section(environment)


@pytest.fixture(scope="module")
def in_use(host: Any) -> str:
    """Every file that nginx reads, as it reads them."""
    return str(host.check_output("nginx -T 2>/dev/null"))


@pytest.fixture(scope="module")
def ask(host: Any, nginx: model.Section) -> Ask:
    """Asks this very host for a path of one site."""

    def asked(name: str, path: str, scheme: str = "https") -> Answer:
        port = nginx.https_port if scheme == "https" else nginx.http_port
        said = host.run(asking.curl(name, port, path, scheme))
        assert said.rc == 0, f"{scheme}://{name}{path}: {said.stderr.strip()}"
        return asking.answer(said.stdout)

    return asked


@ON_HOSTS
def test_runs_and_starts_at_boot(host: Any) -> None:
    unit = host.service("nginx")
    assert unit.is_running, "nginx is not active"
    assert unit.is_enabled, "nginx does not start at boot"


@ON_HOSTS
def test_configuration_on_disk_is_valid(host: Any) -> None:
    said = host.run("nginx -t -q")
    assert said.rc == 0, said.stderr.strip().splitlines()[0]


@ON_HOSTS
def test_listens_on_exactly_the_declared_ports(host: Any, environment: Environment, member: Host) -> None:
    lines = host.check_output("ss -Hltnp").splitlines()
    found = {int(line.split()[3].rpartition(":")[2]) for line in lines if '"nginx"' in line}
    # Other components have it listen too, and say so.
    expected = {one.port for one in environment.listeners(member) if one.what.startswith("nginx")}
    not_yet = {s.port for s in environment.services_on(member) if s.name not in environment.releases}
    assert found == expected - not_yet, f"nginx listens on {sorted(found)}, expected {sorted(expected - not_yet)}"


@ON_HOSTS
@pytest.mark.covers("HC-01")
def test_status_is_on_loopback_only(host: Any, nginx: model.Section) -> None:
    said = host.run(f"curl -sS --max-time 5 http://127.0.0.1:{nginx.status_port}/nginx_status")
    assert "Active connections" in said.stdout, f"no status: {said.stderr.strip()}"
    addresses = host.check_output(f"ss -Hltn 'sport = :{nginx.status_port}'").split()[3::6]
    outside = [address for address in addresses if not address.startswith("127.")]
    assert not outside, f"the status page listens on {', '.join(outside)}"


@ON_HOSTS
@pytest.mark.covers("DF-72", "NX-03", "DF-70")
def test_configuration_in_use_keeps_connections_and_pushes_nothing(in_use: str) -> None:
    assert "http2_push" not in in_use, "http2_push is set"
    for block in re.findall(r"^upstream .*?^}", in_use, re.MULTILINE | re.DOTALL):
        name = block.split()[1]
        assert "keepalive " in block, f"upstream {name} keeps no connections"
        assert "max_fails=" in block, f"upstream {name} has no max_fails"
        if "least_conn;" in block:
            assert block.index("least_conn;") < block.index("keepalive "), f"{name}: least_conn after keepalive"


@ON_HOSTS
@pytest.mark.covers("NX-01")
def test_what_is_not_safe_is_sent_to_one_server(in_use: str) -> None:
    """nginx repeats PUT and DELETE by itself: what may ask another server leaves them to a location that may not."""
    for line in re.findall(r"proxy_next_upstream [^;]*;", in_use):
        assert "non_idempotent" not in line, "a POST that one server took may go to another: non_idempotent is set"
    _, *parts = re.split(r"(?m)^# configuration file (.*):$", in_use)
    held = dict(zip(parts[::2], parts[1::2], strict=True))
    if ONCE in held:  # a host that only serves files asks nobody
        assert "proxy_next_upstream off;" in held[ONCE], f"{ONCE} may ask another server"
    for path, content in held.items():
        blocks = dict(re.findall(r"(?ms)^    location (.*?) \{$(.*?)^    \}$", content))
        for name in (name for name, block in blocks.items() if "/snippets/proxy.conf;" in block):
            guard = re.search(r'if \(\$request_method !~ "\^\((\S+)\)\$"\) \{\s+return 418;', blocks[name])
            assert guard, f"{path}: location {name} lets every method go to another server"
            assert guard[1] == model.PASSED_ON, f"{path}: location {name} lets {guard[1]} go to another server"
            other = re.search(r"error_page 418 = (\S+);", blocks[name])
            leads = other is not None and ONCE in blocks.get(other[1], "")
            assert leads, f"{path}: location {name} leads nowhere with what is sent once"


@ON_WEB
@pytest.mark.covers("NX-01")
def test_upstreams_name_every_host_of_the_service(in_use: str, environment: Environment, nginx: model.Section) -> None:
    for name in {service for site in nginx.sites.values() for service in site.proxy.values()}:
        service = environment.services[name]
        block = re.search(rf"^upstream {environment.system}-{name} .*?^}}", in_use, re.MULTILINE | re.DOTALL)
        assert block, f"no upstream for {name}"
        found = {f"{where}{weight}" for where, weight in re.findall(r"server (\S+)( weight=\d+)?", block[0])}
        expected = set(files.servers(environment, nginx, service))
        assert found == expected, f"upstream for {name}: {sorted(found)}, expected {sorted(expected)}"


@ON_WEB
@pytest.mark.covers("DF-57")
def test_reaches_every_app_host_itself(host: Any, environment: Environment, nginx: model.Section) -> None:
    """By one curl: where hosts and services are many, a program for each would be most of what this suite costs."""
    wanted = {}
    for service in _proxied(environment, nginx):
        first = service.health[0]
        for other in environment.hosts_of(service.role):
            wanted[f"http://{model.listen_address(other)}:{service.port}{first.path}"] = str(first.expect_status)
    if not wanted:
        return
    urls = " ".join(f"-o /dev/null {shlex.quote(url)}" for url in wanted)
    told = "%{url_effective} %{http_code} %{errormsg}\\n"
    said = host.run(f"curl -sgZ --parallel-max 20 --max-time 5 -w '{told}' {urls}").stdout
    found = {url: (status, why) for url, status, why in (line.split(" ", 2) for line in said.splitlines())}
    for url, status in wanted.items():
        answer, why = found.get(url, ("nothing", ""))
        assert answer == status, f"{url} answers {answer}: {why}"


def _proxied(environment: Environment, nginx: model.Section) -> list[Service]:
    """The services behind sites that have a release."""
    names = sorted({name for site in nginx.sites.values() for name in site.proxy.values()})
    return [environment.services[name] for name in names if name in environment.releases]


@dataclass(frozen=True)
class Asked:
    """A request to a service by way of a site, and what became of it; `logged`: the site's own lines about it."""

    url: str
    service: str
    check: HealthCheck | None
    answer: Answer
    logged: list[str]


@pytest.fixture(scope="module")
def asked(host: Any, environment: Environment, nginx: model.Section) -> list[Asked]:
    """Every health check that clients can ask for by a site; where a prefix leads to none, the prefix itself."""
    sites = [
        (site.names(environment)[0], question)
        for site in nginx.sites.values()
        for question in _questions(environment, site)
    ]
    if not sites:
        return []
    commands = [asking.curl(name, nginx.https_port, path) for name, (_, path, _) in sites]
    told = asking.told_apart(host.check_output(asking.together(commands)))
    found = []
    for (name, (service, path, check)), (text, logged) in zip(sites, told, strict=True):
        assert text.startswith("HTTP/"), f"https://{name}{path}: {text.strip()}"
        found.append(Asked(f"{name}{path}", service, check, asking.answer(text), logged))
    return found


def _questions(environment: Environment, site: model.Site) -> Iterator[tuple[str, str, HealthCheck | None]]:
    for prefix, service in site.proxy.items():
        if service not in environment.releases:
            continue
        checks = [(site.outside(prefix, one.path), one) for one in environment.services[service].health]
        below = [(path, one) for path, one in checks if path is not None]
        for path, check in below or [(f"{prefix.rstrip('/')}/", None)]:
            yield service, path, check


@ON_WEB
@pytest.mark.covers("HC-03", "HC-06")
def test_services_answer_through_their_sites(asked: list[Asked]) -> None:
    for one in asked:
        status = one.answer.status
        if one.check is None:  # the service's own answer, whatever it is, and not nginx's for a service that is gone
            assert status not in (502, 503, 504), f"{one.url} answers {status}"
            continue
        assert status == one.check.expect_status, f"{one.url} answers {status}, expected {one.check.expect_status}"
        if wanted := one.check.expect_json:
            found = _json(one.answer.body)
            wrong = {key: found.get(key) for key in wanted if found.get(key) != wanted[key]}
            assert not wrong, f"{one.url} says {wrong}, expected {wanted}"


@ON_WEB
@pytest.mark.covers("NX-01")
def test_each_prefix_leads_to_the_service_that_it_names(
    environment: Environment, nginx: model.Section, asked: list[Asked]
) -> None:
    """As nginx itself wrote: which servers it asked for these very requests.

    Where a host has the app's nginx too, that writes into the same log which instances it asked in its turn.
    """
    for one in asked:
        said = re.findall(r'upstream="([^"]+)"', "\n".join(one.logged))
        found = [set(re.split(r", | : ", upstream)) for upstream in said]
        service = environment.services[one.service]
        # nginx names the upstream where every server of it has failed of late.
        known = {where.split()[0] for where in files.servers(environment, nginx, service)}
        known.add(f"{environment.system}-{one.service}")
        by = sorted(set().union(*found))
        assert any(servers <= known for servers in found), f"{one.url} was answered by {by}, expected {sorted(known)}"


@ON_WEB
@pytest.mark.covers("NX-04", "DF-71")
def test_security_headers_on_every_kind_of_answer(ask: Ask, environment: Environment, nginx: model.Section) -> None:
    expected = {key.lower(): value for key, value in files.security_headers(nginx).items()}
    for site in nginx.sites.values():
        name = site.names(environment)[0]
        paths = ["/", "/metrics", "/.mainstay/none", "/assets/none.js"]
        paths += [f"{path.rstrip('/')}/none" for path in site.proxy]
        for path in paths:
            answer = ask(name, path)
            found = {key: answer.headers.get(key) for key in expected}
            assert found == expected, f"{name}{path} ({answer.status}) has {found}"


@ON_WEB
@pytest.mark.covers("HC-01", "DF-83")
def test_metrics_are_not_public(ask: Ask, environment: Environment, nginx: model.Section) -> None:
    """Each service's own as the inventory names them, below its prefixes too; and profiles."""
    for site in nginx.sites.values():
        name = site.names(environment)[0]
        for path in model.refused(environment, site):
            for asked in (path, f"{path}/", path.upper()):
                status = ask(name, asked).status
                assert status in (403, 404), f"{name}{asked} answers {status}, expected 404"
        answer = ask(name, "/nginx_status")
        # To a page, what is no file is a route of its own, and the answer is the index.
        page = site.static is not None and "text/html" in answer.headers["content-type"]
        assert answer.status >= 400 or page, f"{name}/nginx_status answers {answer.status}"


@ON_WEB
@pytest.mark.covers("NX-07")
def test_each_site_has_the_limit_that_is_declared_and_no_other(in_use: str, nginx: model.Section) -> None:
    limits = model.limits(nginx)
    zones = dict(re.findall(r"limit_req_zone \S+ zone=([a-z0-9-]+):\S+ rate=(\d+)r/s;", in_use))
    assert zones == {zone: str(limit.requests_per_s) for zone, limit in limits.values()}, (
        f"clients are counted in {zones}"
    )
    found = set(re.findall(r"limit_req zone=(\S+) burst=(\d+) nodelay;", in_use))
    wanted = {(zone, str(limit.burst)) for name, (zone, limit) in limits.items() if nginx.sites[name].proxy}
    assert found == wanted, f"limits in use are {sorted(found)}, expected {sorted(wanted)}"


@ON_WEB
@pytest.mark.covers("DF-73")
def test_pages_for_maintenance_and_faults_are_there(host: Any) -> None:
    """As nginx reads them: what is not there would be nginx's own page, or nothing."""
    for page, text in files.pages().items():
        said = host.run(f"cd /; runuser -u www-data -- cat {page}")
        assert said.rc == 0, f"nginx cannot read {page}"
        assert said.stdout == text, f"{page} is another one"


@ON_WEB
def test_says_nothing_of_its_version(ask: Ask, environment: Environment, nginx: model.Section) -> None:
    for site in nginx.sites.values():
        headers = ask(site.names(environment)[0], "/").headers
        assert headers.get("server", "nginx") == "nginx", f"Server is {headers['server']}"


@ON_WEB
@pytest.mark.covers("NX-05")
def test_http_leads_to_https_except_for_challenges(
    host: Any, in_use: str, ask: Ask, environment: Environment, nginx: model.Section
) -> None:
    """What stands in the one folder of challenges is answered: an authority's client writes there."""
    root = files.challenge_root(environment)
    assert host.file(root).is_directory, f"{root} is not there"
    roots = re.findall(r"location \^~ /\.well-known/acme-challenge/ \{\s*root (\S+);", in_use)
    assert set(roots) == {root}, (
        f"challenges are answered from {', '.join(sorted(set(roots))) or 'nowhere'}, not {root}"
    )
    for site in nginx.sites.values():
        name = site.names(environment)[0]
        answer = ask(name, "/some/page", scheme="http")
        assert answer.status == 301, f"http://{name} answers {answer.status}"
        leads = answer.headers["location"]
        assert leads.startswith(f"https://{name}"), f"http://{name} leads to {leads}"
        status = ask(name, "/.well-known/acme-challenge/none", scheme="http").status
        assert status == 404, f"a challenge that is not there answers {status}"


@ON_WEB
def test_speaks_http_2(host: Any, environment: Environment, nginx: model.Section) -> None:
    for site in nginx.sites.values():
        name, port = site.names(environment)[0], nginx.https_port
        url = f"--resolve {name}:{port}:127.0.0.1 https://{name}:{port}/"
        said = host.check_output(f"curl -sSk --http2 -o /dev/null -w '%{{http_version}}' --max-time 10 {url}")
        assert said == "2", f"{name} speaks HTTP/{said}"


@ON_WEB
def test_refuses_old_tls_and_unknown_names(host: Any, environment: Environment, nginx: model.Section) -> None:
    port = nginx.https_port
    for what, options in (
        (
            "TLS 1.1",
            f"--tls-max 1.1 --resolve {environment.domain}:{port}:127.0.0.1 https://{environment.domain}:{port}/",
        ),
        ("a name that is not ours", f"--resolve unknown.invalid:{port}:127.0.0.1 https://unknown.invalid:{port}/"),
    ):
        said = host.run(f"curl -sSk -o /dev/null --max-time 5 {options}")
        assert said.rc == 35, f"{what} is accepted (curl ends with {said.rc})"


@ON_WEB
def test_certificate_covers_the_sites_and_its_key_is_root_s(host: Any, environment: Environment) -> None:
    folder = files.live_folder(environment)
    found = parse_certificate(host.check_output(LiveCertificate().command(folder)).splitlines())
    assert found, f"{folder} holds no certificate"
    assert found.key_fits, "the key is not the certificate's own"
    missing = certificate.uncovered(model.site_names(environment), found.names)
    assert not missing, f"the certificate lacks {', '.join(missing)}"
    assert found.not_after - datetime.now(UTC) > EXPIRES_SOON, f"the certificate ends on {found.not_after:%Y-%m-%d}"
    key = host.file(f"{folder}/privkey.pem")
    assert (key.user, f"{key.mode:o}") == ("root", "600"), f"the key is {key.user}'s, mode {key.mode:o}"


@ON_WEB
def test_clients_are_shown_the_certificate_that_is_there(
    host: Any, environment: Environment, nginx: model.Section
) -> None:
    """What nginx serves, not what the file holds: one that was never taken up is another. It is the inventory's, where
    that gives one."""
    given, live = model.certificate_path(environment), f"{files.live_folder(environment)}/fullchain.pem"
    fingerprint = "openssl x509 -noout -fingerprint -sha256"
    wanted = host.check_output(f"{fingerprint} -in {live}").rpartition("=")[2]
    if given is not None:
        assert wanted == certificate.fingerprint(given.read_text()), f"{live} is another one than {given.name}"
    for name in model.site_names(environment):
        ask = f"openssl s_client -connect 127.0.0.1:{nginx.https_port} -servername {name} </dev/null 2>/dev/null"
        said = host.run(f"{ask} | {fingerprint}").stdout.strip()
        assert said.rpartition("=")[2] == wanted, f"{name} shows another certificate: {said or 'none'}"


def _json(text: str) -> dict[str, Any]:
    """The answer's own keys; none where it is no object."""
    try:
        found = json.loads(text)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}
