"""The stand-ins in Go and Node, and the one in Python as other systems have it: built, started, asked, stopped."""

from __future__ import annotations

import http.client
import json
import os
import re
import signal
import subprocess
import tarfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.unit.serving import free_port, installed, programs, unpacked, wait_until_serving
from workload import build as builder
from workload import golang, nodejs
from workload.described import Described

SYSTEM = "shop"
SERVICES = {
    "go": Described(SYSTEM, "orders", "go", "app", "bin/orders"),
    "node": Described(SYSTEM, "basket", "node", "app", "/usr/bin/node", "dist/server.js"),
    "python": Described(SYSTEM, "ml", "python", "ml", "venv/bin/uvicorn", "service.app:application"),
}
COMMANDS = {
    "go": "bin/orders --port {port}",
    "node": "node dist/server.js --port {port}",
    "python": "venv/bin/uvicorn service.app:application --host 127.0.0.1 --port {port} --timeout-graceful-shutdown 10",
}
READY = {"go": "serves", "node": "serves", "python": "Uvicorn running on"}  # what a kind logs with the port its own
KINDS = tuple(SERVICES)


@dataclass
class Answer:
    status: int
    body: Any
    headers: dict[str, str]


@dataclass
class Instance:
    process: subprocess.Popen[str]
    port: int
    log: Path
    ready: str

    def ask(self, path: str, method: str = "GET", body: str | None = None, **headers: str) -> Answer:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        connection.request(method, path, body, named)
        answer = connection.getresponse()
        text = answer.read().decode(errors="replace")
        connection.close()
        held = {name.lower(): value for name, value in answer.getheaders()}
        return Answer(answer.status, json.loads(text) if text.startswith("{") else text, held)

    def lines(self) -> list[dict[str, Any]]:
        """The log's lines of JSON."""
        return [json.loads(line) for line in self.log.read_text().splitlines() if line.startswith("{")]


Start = Callable[..., Instance]


@pytest.fixture(scope="module")
def releases(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, str], Path]:
    """The unpacked release of a kind with a fault; each is built once."""
    top, known = tmp_path_factory.mktemp("kinds"), dict[tuple[str, str], Path]()

    def release(kind: str, fault: str) -> Path:
        if (kind, fault) not in known:
            folder = known[kind, fault] = top / f"{kind}-{fault}"
            built = builder.make(SERVICES[kind], "3.1.4", fault=fault, out=top)
            whole = installed if kind == "python" else unpacked
            whole(built.path, folder)
        return known[kind, fault]

    return release


@pytest.fixture
def start(releases: Callable[[str, str], Path], tmp_path: Path) -> Iterator[Start]:
    model = tmp_path / "model.bin"
    model.write_bytes(b"weights")

    def go(kind: str, fault: str = "none", **environ: str) -> Instance:
        release = releases(kind, fault)
        port = free_port()
        program, *words = COMMANDS[kind].format(port=port).split()
        command = [program if kind == "node" else str(release / program), *words]
        log = tmp_path / f"log-{port}"
        variables = {"PATH": os.environ["PATH"], "MODEL_PATH": str(model), "PYTHONDONTWRITEBYTECODE": "1", **environ}
        return Instance(begin(command, release / "app", variables, log), port, log, READY[kind])

    with programs() as begin:
        yield go


def serving(instance: Instance) -> Instance:
    wait_until_serving(instance.process, instance.port, instance.log, instance.ready)
    return instance


@pytest.mark.parametrize("kind", KINDS)
def test_two_builds_are_the_same_bytes(kind: str, tmp_path: Path) -> None:
    golang.program.cache_clear()
    one = builder.make(SERVICES[kind], out=tmp_path / "one")
    golang.program.cache_clear()
    two = builder.make(SERVICES[kind], out=tmp_path / "two")
    assert one.path.read_bytes() == two.path.read_bytes()
    assert one.path.name == f"shop-{SERVICES[kind].name}-1.0.0.tar"


@pytest.mark.parametrize(
    ("kind", "about", "names"),
    [
        ("go", {"system": "shop", "name": "orders", "kind": "go", "arch": "x86_64"}, {"bin/orders"}),
        (
            "node",
            {"system": "shop", "name": "basket", "kind": "node", "node": "18", "entry": "dist/server.js"},
            {"app/dist/server.js", "app/node_modules/pg/package.json", "app/node_modules/redis/package.json"},
        ),
        (
            "python",
            {"name": "ml", "kind": "python", "python": "3.11", "arch": "x86_64", "entry": "service.app:application"},
            {"app/main.py", "app/service/app.py", "requirements.txt"},
        ),
    ],
)
def test_an_artefact_is_whole_and_says_what_it_runs_on(
    kind: str, about: dict[str, str], names: set[str], tmp_path: Path
) -> None:
    with tarfile.open(builder.make(SERVICES[kind], "1.2.0", out=tmp_path).path) as tar:
        members = {member.name: member for member in tar.getmembers()}
        release = json.load(tar.extractfile("release.json"))  # type: ignore[arg-type]
        text = b"".join(tar.extractfile(member).read() for member in members.values())  # type: ignore[union-attr]
    assert release == about | {"version": "1.2.0"}
    assert names | {"ci.json", "app/migrations/20261122_create_items.sql"} <= members.keys()
    assert {name for name, member in members.items() if member.mode == 0o755} == (
        {"bin/orders"} if kind == "go" else set()
    )
    assert str(builder.PROJECT).encode() not in text
    assert b"app/.env.example" not in text


def test_the_lock_of_node_names_no_place_and_hashes_everything() -> None:
    lock = json.loads((nodejs.SOURCES / "package-lock.json").read_text())
    packages = {name: package for name, package in lock["packages"].items() if name}
    assert len(packages) > 10
    assert all(package["integrity"].startswith("sha512-") for package in packages.values())
    assert all("resolved" not in package for package in packages.values())


@pytest.mark.parametrize("kind", KINDS)
def test_a_service_without_variables_says_what_it_does_not_use(start: Start, kind: str) -> None:
    instance = serving(start(kind))
    assert instance.ask("/health").body == {"status": "healthy"}
    assert instance.ask("/health/db").body == {"status": "not used"}
    assert instance.ask("/health/redis").body == {"status": "not used"}
    ready = instance.ask("/health/ready")
    assert (ready.status, ready.body) == (200, {"status": "ready", "db": "not used", "redis": "not used"})
    assert instance.ask("/version").body == {"version": "3.1.4"}
    assert instance.ask("/api/items").status == 501


@pytest.mark.parametrize("names", [("PGHOST", "PGPORT"), ("POSTGRES_HOST", "POSTGRES_PORT"), ("DB_HOST", "DB_PORT")])
@pytest.mark.parametrize("kind", KINDS)
def test_dead_dependencies_harm_only_what_needs_them(
    start: Start, refusing_port: int, kind: str, names: tuple[str, str]
) -> None:
    given = {
        names[0]: "127.0.0.1",
        names[1]: str(refusing_port),
        "REDIS_HOST": "127.0.0.1",
        "REDIS_PORT": str(refusing_port),
    }
    instance = serving(start(kind, **given, PGPASSWORD="planted", REDIS_PASSWORD="planted"))
    assert instance.ask("/health").status == 200
    for path in ("/health/db", "/health/redis"):
        answer = instance.ask(path)
        assert (answer.status, answer.body) == (503, {"status": "disconnected"})
    body = {"status": "not ready", "db": "disconnected", "redis": "disconnected"}
    assert instance.ask("/health/ready").body == body
    assert instance.ask("/api/items").body == {"error": "a dependency does not answer"}
    metrics = instance.ask("/metrics").body
    assert re.search(r'http_requests_total\{[^}]*method="GET",status="503"\} 4', metrics)
    assert re.search(r'http_request_duration_seconds_bucket\{[^}]*le="0.5"\} [0-9]+', metrics)
    assert 'app_info{version="3.1.4"} 1' in metrics
    assert kind != "go" or re.search(r"^db_connection_errors_total [3-9]$", metrics, re.MULTILINE)
    assert "planted" not in instance.log.read_text()


@pytest.mark.parametrize("kind", ["go", "node"])
def test_addresses_as_one_variable(start: Start, refusing_port: int, kind: str) -> None:
    given = {"DATABASE_URL": f"postgresql://u:planted@127.0.0.1:{refusing_port}/d"}
    given["REDIS_URL"] = f"redis://:planted@127.0.0.1:{refusing_port}/0"
    instance = serving(start(kind, **given))
    body = {"status": "not ready", "db": "disconnected", "redis": "disconnected"}
    assert instance.ask("/health/ready").body == body
    assert "planted" not in instance.log.read_text()


@pytest.mark.parametrize("kind", ["go", "node"])
def test_a_request_is_one_line_of_json_with_its_id(start: Start, kind: str) -> None:
    instance = serving(start(kind))
    answer = instance.ask("/api/items", X_Request_ID="0123456789abcdef")
    assert answer.headers["x-request-id"] == "0123456789abcdef"
    made = instance.ask("/api/items", X_Request_ID='"><b>').headers["x-request-id"]
    assert re.fullmatch(r"[0-9a-f]{32}", made)
    instance.ask("/health")
    lines = [line for line in instance.lines() if "request_id" in line]
    assert [line["request_id"] for line in lines] == ["0123456789abcdef", made]
    assert lines[0].items() >= {"method": "GET", "path": "/api/items", "status": 501, "level": "ERROR"}.items()
    assert re.fullmatch(r"request status_code=501 took \d+ms", lines[0]["message"])
    assert isinstance(lines[0]["duration_ms"], float | int)


def test_profiles_are_for_this_host_alone(start: Start) -> None:
    instance = serving(start("go"))
    assert instance.ask("/debug/pprof/heap").status == 200
    assert instance.ask("/debug/pprof/heap", X_Forwarded_For="192.0.2.1").status == 404
    assert instance.ask("/debug/pprof/profile?seconds=1", X_Real_IP="192.0.2.1").status == 404


@pytest.mark.covers("PF-04")
def test_go_tells_of_its_memory(start: Start) -> None:
    metrics = serving(start("go", GOMAXPROCS="1")).ask("/metrics").body
    assert len(re.findall(r"^go_memstats", metrics, re.MULTILINE)) > 10
    assert "go_gomaxprocs 1" in metrics


def test_node_tells_of_the_heap_that_it_was_given(start: Start) -> None:
    metrics = serving(start("node", NODE_OPTIONS="--max-old-space-size=200")).ask("/metrics").body
    limit = int(re.findall(r"^nodejs_heap_size_limit_bytes (\d+)", metrics, re.MULTILINE)[0])
    assert 200 * 1024**2 <= limit < 280 * 1024**2
    assert re.search(r"^shop_active_users 1$", metrics, re.MULTILINE)


@pytest.mark.parametrize("kind", KINDS)
def test_faulty_builds_fail_as_they_are_named(start: Start, kind: str) -> None:
    sick = serving(start(kind, "health"))
    assert (sick.ask("/health").status, sick.ask("/health/ready").status) == (500, 503)
    crashed = start(kind, "crash")
    assert crashed.process.wait(timeout=60) == 3
    assert crashed.log.read_text() == "fatal: this build is broken and ends at start\n"


@pytest.mark.parametrize("kind", KINDS)
def test_a_request_in_flight_is_finished_on_sigterm(start: Start, kind: str) -> None:
    instance = serving(start(kind, "slow"))
    answers: list[Answer] = []
    asking = threading.Thread(target=lambda: answers.append(instance.ask("/health")))
    asking.start()
    time.sleep(0.8)
    instance.process.send_signal(signal.SIGTERM)
    assert instance.process.wait(timeout=30) in (0, -signal.SIGTERM)
    asking.join(timeout=30)
    assert [(answer.status, answer.body) for answer in answers] == [(200, {"status": "healthy"})]
    assert "stopped" in instance.log.read_text()


@pytest.mark.parametrize("kind", ["go", "node"])
def test_only_a_loopback_address_is_listened_on(releases: Callable[[str, str], Path], kind: str) -> None:
    release = releases(kind, "none")
    program, *words = COMMANDS[kind].format(port="1").split()
    command = [program if kind == "node" else str(release / program), *words, "--host", "0.0.0.0"]
    done = subprocess.run(command, cwd=release / "app", capture_output=True, text=True, check=False, timeout=30)
    assert done.returncode == 3
    assert done.stderr == "fatal: found --host 0.0.0.0 --port 1, expected a loopback address and a port\n"


@pytest.mark.parametrize(
    ("path", "sentence"),
    [
        ("", "fatal: not set: MODEL_PATH"),
        ("/nowhere/model.bin", "fatal: model /nowhere/model.bin: no such file or directory, expected a file"),
        ("/etc", "fatal: model /etc: is a directory, expected a file"),
        ("/dev/null", "fatal: model /dev/null: found an empty file"),
    ],
)
def test_ml_does_not_start_without_its_model(start: Start, path: str, sentence: str) -> None:
    instance = start("python", MODEL_PATH=path)
    assert instance.process.wait(timeout=60) == 3
    assert instance.log.read_text().splitlines() == [sentence]


def test_ml_is_asked_by_get(start: Start) -> None:
    instance = serving(start("python"))
    assert (instance.ask("/health").status, instance.ask("/health", "POST").status) == (200, 405)
