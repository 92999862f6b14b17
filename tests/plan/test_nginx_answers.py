"""A web host's nginx with real requests: each prefix goes to its service, as that knows its paths."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pytest

from deploys.components.nginx.files import MAINTENANCE_FLAG, files, live_folder, security_headers, servers
from deploys.components.nginx.model import section
from deploys.operations.internal_ca import issue
from mainstay.inventory import Environment, load
from tests.plan import answering
from tests.plan.answering import Answer, Instance, Server
from tests.unit.inventories import Edit, copied

SYSTEM, WEB, NAME = "tchat", "tchat-web-1", "api.tchat.sea"
SERVICES = ["auth", "messaging", "payment", "notification"]
METRICS: Edit = ("system.yaml", "payment: /metrics, ", "payment: /internal/metrics, ")
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
def web(folder: Path, *edits: Edit) -> Iterator[Web]:
    """Production's first web host before stand-ins that tests hold."""
    env = load(SYSTEM, "production", root=copied(folder / "project", *edits, system=SYSTEM))
    instances: dict[str, list[Instance]] = {}
    upstreams = {}
    with ExitStack() as stack:
        for name in SERVICES:
            for address in servers(env, section(env), env.services[name]):
                one = stack.enter_context(Instance(name).running())
                instances.setdefault(name, []).append(one)
                upstreams[address] = one.port
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
