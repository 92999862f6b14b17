"""nginx with real requests: each prefix leads to its service, as that knows its paths; the unsafe arrives once."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pytest

from deploys.components.nginx.files import MAINTENANCE_FLAG, files, live_folder, security_headers, servers
from deploys.components.nginx.model import section
from deploys.components.service.files import deployment
from deploys.operations.internal_ca import issue
from mainstay.inventory import Environment, load
from tests.plan import answering
from tests.plan.answering import Answer, Instance, Server
from tests.plan.systems import pinned, project
from tests.unit.inventories import Edit, copied
from tests.unit.serving import free_port

SYSTEM, WEB, NAME = "tchat", "tchat-web-1", "api.tchat.sea"
SERVICES = ["auth", "messaging", "payment", "notification"]
METRICS: Edit = ("system.yaml", "payment: /metrics, ", "payment: /internal/metrics, ")
LIMIT: Edit = (
    "system.yaml",
    "rate_limit: {enabled: false, requests_per_s: 50, burst: 100}",
    "rate_limit: {enabled: true, requests_per_s: 1, burst: 2}",
)
KEPT: Edit = ("system.yaml", "strip: [/auth, /messaging, ", "strip: [/auth, ")


@dataclass(frozen=True)
class Web:
    """The web host, and each service's instances, one an app host."""

    server: Server
    instances: dict[str, list[Instance]]

    def ask(self, path: str, method: str = "GET", body: bytes | None = None) -> Answer:
        """What the site answers."""
        return self.server.ask(NAME, path, method, body)

    def asked(self, service: str) -> list[tuple[str, str, bytes]]:
        """What the service was asked, by whatever instance."""
        return [one for instance in self.instances[service] for one in instance.asked]


def texts(env: Environment, host: str) -> dict[str, str]:
    issued = issue("a seed of a test", "test", [NAME], datetime.now(UTC))
    found = {managed.path: managed.content for managed in files(env, env.hosts[host])}
    found[f"{live_folder(env)}/fullchain.pem"] = issued.certificate
    found[f"{live_folder(env)}/privkey.pem"] = issued.key
    return found


@contextmanager
def web(folder: Path, *edits: Edit, gone: int = 0) -> Iterator[Web]:
    """Production's first web host before stand-ins that tests hold; the first `gone` of each service do not listen."""
    env = load(SYSTEM, "production", root=copied(folder / "project", *edits, system=SYSTEM))
    instances: dict[str, list[Instance]] = {}
    upstreams = {}
    with ExitStack() as stack:
        for name in SERVICES:
            for index, address in enumerate(servers(env, section(env), env.services[name])):
                one = Instance(name)
                instances.setdefault(name, []).append(one)
                if index >= gone:
                    stack.enter_context(one.running())
                upstreams[address] = one.port or free_port()
        (folder / "root").mkdir()
        server = stack.enter_context(answering.running(folder / "root", texts(env, WEB), upstreams))
        yield Web(server, instances)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Web]:
    with web(tmp_path_factory.mktemp("web"), KEPT, METRICS) as one:
        yield one


@pytest.mark.parametrize("service", ["auth", "payment", "notification"])
def test_a_prefix_that_is_taken_off_leads_to_its_service_s_root(site: Web, service: str) -> None:
    for path, seen in {
        f"/{service}": "/",
        f"/{service}/": "/",
        f"/{service}/health/ready": "/health/ready",
        f"/{service}/api/items?name=a%20b&x=1": "/api/items?name=a%20b&x=1",
        f"/{service}/{service}/a%3Fb%25%0Ac": f"/{service}/a%3Fb%25%0Ac",
    }.items():
        assert site.ask(path).name == service
        assert seen in [one[1] for one in site.asked(service)], path
    assert {one.get("X-Forwarded-Prefix") for i in site.instances[service] for one in i.headers} == {f"/{service}"}


def test_a_prefix_that_its_service_knows_is_kept(site: Web) -> None:
    for path in ("/messaging", "/messaging/health/ready", "/messaging/a%2Fb?x=1"):
        assert site.ask(path).name == "messaging"
        assert path in [one[1] for one in site.asked("messaging")]
    assert {one.get("X-Forwarded-Prefix") for i in site.instances["messaging"] for one in i.headers} == {None}


@pytest.mark.covers("HC-01", "DF-83")
def test_metrics_and_profiles_reach_no_service(site: Web) -> None:
    for prefix in ("", "/auth", "/messaging", "/payment"):
        for path in ("/metrics", "/metrics/", "/METRICS", "/%6detrics", "//metrics", "/x/../metrics?a", "/metrics;a=b"):
            assert site.ask(f"{prefix}{path}").status == 404, f"{prefix}{path}"
    for path in ("/auth/debug/pprof/heap", "/messaging/debug/pprof/", "/payment/internal/metrics"):
        assert site.ask(path).status == 404, path
    assert site.ask("/auth/metricsof/this").name == "auth"
    seen = " ".join(one[1].lower() for service in SERVICES for one in site.asked(service))
    assert not [word for word in ("metrics ", "metrics/", "metrics;", "pprof") if word in f"{seen} "]


def test_what_only_begins_as_a_prefix_does_is_nobody_s(site: Web) -> None:
    for path in ("/authority", "/auth.json", "/health", "/"):
        assert site.ask(path).status == 404


def test_every_answer_has_the_security_headers_and_maintenance_comes_first(site: Web) -> None:
    env = load(SYSTEM, "production")
    flag = site.server.root / MAINTENANCE_FLAG.lstrip("/")
    for closed in (False, True):
        flag.touch() if closed else flag.unlink(missing_ok=True)
        for path in ("/auth/health", "/messaging/health", "/none"):
            answer = site.ask(path)
            assert answer.status == (503 if closed else 404 if path == "/none" else 200)
            found = {key: answer.headers.get(key.lower()) for key in security_headers(section(env))}
            assert found == security_headers(section(env)), path
    flag.unlink()


REPEATED, ONCE = ["GET", "HEAD", "OPTIONS"], ["POST", "PATCH", "PUT", "DELETE", "PROPFIND"]


@contextmanager
def failing(instances: list[Instance], status: int) -> Iterator[None]:
    for one in instances:
        one.status = status
    try:
        yield
    finally:
        for one in instances:
            one.status = 200


@pytest.mark.parametrize("status", [0, 502, 503])
@pytest.mark.parametrize("service", ["auth", "messaging"])
def test_only_what_is_safe_is_asked_of_another_server(site: Web, service: str, status: int) -> None:
    """Two of three fail: whoever may ask again gets the third's answer each time, and the others arrive once."""
    with failing(site.instances[service][:2], status):
        for method in REPEATED + ONCE:
            paths = [f"/{service}/{method}/{status}/{number}" for number in range(3)]
            found = [site.ask(path, method, b"x" if method in ONCE else None).status for path in paths]
            arrived = [one[1].removeprefix(f"/{service}") for one in site.asked(service)]
            times = [arrived.count(path.removeprefix(f"/{service}")) for path in paths]
            if method in REPEATED:
                assert found == [200, 200, 200], method
                assert max(times) > 1, f"{method}: nothing failed"
            else:
                assert sorted(found) == [200, status or 502, status or 502], method
                assert times == [1, 1, 1], method


@pytest.mark.parametrize("method", REPEATED + ONCE)
def test_where_all_fail_every_method_gets_the_site_s_own_page(site: Web, method: str) -> None:
    with failing(site.instances["auth"], 0):
        answer = site.ask("/auth/api/items", method, b"x" if method in ONCE else None)
    assert answer.status == 502
    assert answer.body == ("" if method == "HEAD" else '{"detail": "unavailable"}\n')
    expected = security_headers(section(load(SYSTEM, "production")))
    assert {name: answer.headers.get(name.lower()) for name in expected} == expected


def test_what_is_sent_once_arrives_whole(site: Web) -> None:
    body = bytes(range(256)) * 4096
    for method in ONCE:
        assert site.ask("/auth/a%20b?x=%2F", method, body).name == "auth"
        assert (method, "/a%20b?x=%2F", body) in site.asked("auth")
        assert site.ask("/messaging/a%2Fb?x=1", method, body).name == "messaging"
        assert (method, "/messaging/a%2Fb?x=1", body) in site.asked("messaging")


def test_maintenance_and_refusals_count_for_every_method(site: Web) -> None:
    flag = site.server.root / MAINTENANCE_FLAG.lstrip("/")
    for method in ONCE:
        assert site.ask("/auth/metrics", method, b"x").status == 404, method
        assert site.ask("/none", method, b"x").status == 404, method
    flag.touch()
    try:
        for method in ONCE:
            answer = site.ask("/auth/health", method, b"x")
            assert (answer.status, answer.body) == (503, '{"detail": "maintenance"}\n'), method
    finally:
        flag.unlink()


def test_a_host_that_is_gone_costs_no_post(tmp_path: Path) -> None:
    """Nothing of it was sent, so nginx may ask another; of PUT and the like it does not tell the two apart."""
    with web(tmp_path, gone=1) as site:
        for method in (*REPEATED, "POST", "PATCH"):
            assert [site.ask("/auth/x", method).status for _ in range(6)] == [200] * 6, method
        before = len(site.asked("auth"))
        found = [site.ask("/auth/x", "PUT", b"x").status for _ in range(6)]
        assert set(found) == {200, 502}
        assert len(site.asked("auth")) - before == found.count(200)


@pytest.mark.covers("NX-07")
@pytest.mark.parametrize("method", ["GET", "POST", "PUT"])
def test_a_request_is_counted_once_by_the_limit(tmp_path: Path, method: str) -> None:
    with web(tmp_path, LIMIT) as site, ThreadPoolExecutor(12) as pool:
        found = list(pool.map(lambda _: site.ask("/auth/x", method).status, range(12)))
    assert found.count(200) >= 3, found
    assert set(found) == {200, 429}


def test_an_app_host_s_nginx_asks_another_instance_for_what_is_safe_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    edits = [
        ("system.yaml", "instances: {base: 1, min: 1, max: 2}", "instances: {base: 2, min: 1, max: 2}"),
        ("system.yaml", "pool: 2 ", "pool: 1 "),
    ]
    env = pinned(project(tmp_path / "project", monkeypatch, *edits))
    member = env.hosts["eai-app-1"]
    wanted = deployment(env, member, env.services["backend"])
    texts = {managed.path: managed.content for managed in files(env, member)} | {
        wanted.nginx_path: wanted.nginx["blue"]
    }
    with ExitStack() as stack:
        first, second = (stack.enter_context(Instance(name).running()) for name in ("first", "second"))
        upstreams = dict(zip(("127.0.0.1:18000", "127.0.0.1:18001"), (first.port, second.port), strict=True))
        server = stack.enter_context(answering.running(tmp_path / "root", texts, upstreams))
        first.status = 0
        for method in REPEATED + ONCE:
            found = sorted(server.ask("x", f"/{method}", method, port=8000).status for _ in range(2))
            times = sum(one[0] == method for one in first.asked + second.asked)
            assert (found, times) == (([200, 200], 3) if method in REPEATED else ([200, 502], 2)), method
