"""The stand-in workload: the same artefact from every build, and a program that does what the artefact promises."""

from __future__ import annotations

import hashlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
import tarfile
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.unit.serving import free_port, wait_until_serving
from workload import build as builder

JWT_KEY = "planted-jwt-key-0123456789-0123456789"
REQUIRED = [
    line.partition("=")[0]
    for line in (builder.HERE / "backend" / ".env.example").read_text().splitlines()
    if line and not line.startswith("#")
]


def members(path: Path) -> dict[str, bytes]:
    with tarfile.open(path) as tar:
        infos = tar.getmembers()
        assert all((info.mtime, info.uid, info.gid, info.mode) == (0, 0, 0, 0o644) for info in infos)
        assert [info.name for info in infos] == sorted(info.name for info in infos)
        return {info.name: tar.extractfile(info).read() for info in infos}  # type: ignore[union-attr]


# -- the build -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("service", builder.SERVICES)
def test_two_builds_are_the_same_bytes(service: str, tmp_path: Path) -> None:
    one, two = (builder.build(service, out=tmp_path / name) for name in ("one", "two"))
    assert one.path.read_bytes() == two.path.read_bytes()
    assert one.sha256 == two.sha256 == hashlib.sha256(one.path.read_bytes()).hexdigest()
    assert one.path.name == f"everydayai-{service}-1.0.0.tar"
    assert [path.name for path in (tmp_path / "one").iterdir()] == [one.path.name]


def test_a_backend_artefact_is_whole(tmp_path: Path) -> None:
    files = members(builder.build("backend", "1.2.0", out=tmp_path).path)
    assert json.loads(files["release.json"]) == {
        "name": "backend",
        "version": "1.2.0",
        "kind": "python",
        "python": "3.11",
        "arch": "x86_64",
        "entry": "main:app",
    }
    assert {"app/main.py", "app/.env.example", "app/migrations/20261122_create_items.sql"} <= files.keys()
    assert files["app/build_info.py"].endswith(b'VERSION = "1.2.0"\nFAULT = "none"\n')
    pinned = set(re.findall(r"sha256:([0-9a-f]{64})", files["requirements.txt"].decode()))
    wheels = {hashlib.sha256(data).hexdigest() for name, data in files.items() if name.startswith("wheels/")}
    assert wheels == pinned
    assert b"://" not in files["requirements.txt"]


@pytest.mark.covers("FE-01")
def test_a_frontend_artefact_is_whole(tmp_path: Path) -> None:
    base = "https://api.example.test/api"
    files = members(builder.build("frontend", "2.0.0", api_base=base, out=tmp_path).path)
    assert json.loads(files["release.json"]) == {"name": "frontend", "version": "2.0.0", "kind": "static"}
    build_id = json.loads(files["dist/build.json"])["build"]
    page = files["dist/index.html"].decode()
    assert build_id.startswith("2.0.0-")
    assert f'content="{build_id}"' in page
    assert f'content="{base}"' in page
    assert "%" not in page
    named = re.findall(r'"/(assets/[^"]+)"', page)
    assert sorted(named) == sorted(name.removeprefix("dist/") for name in files if name.startswith("dist/assets/"))
    for name in named:
        assert hashlib.sha256(files[f"dist/{name}"]).hexdigest()[:8] == name.split(".")[-2]


def test_without_an_api_base_the_page_leaves_it_to_the_deploy(tmp_path: Path) -> None:
    page = members(builder.build("frontend", out=tmp_path).path)["dist/index.html"]
    assert b'<meta name="api-base" content="%VITE_API_BASE_URL%">' in page


@pytest.mark.parametrize("service", builder.SERVICES)
def test_ci_says_what_the_gates_ask_for(service: str, tmp_path: Path) -> None:
    ci = json.loads(members(builder.build(service, out=tmp_path).path)["ci.json"])
    assert re.fullmatch(r"[0-9a-f]{40}", ci.pop("commit"))
    assert ci["coverage"] >= 80
    assert ci == {**builder.CI, "coverage": ci["coverage"]}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["backend", "--fault", "fire"], "found fault 'fire' for backend, expected one of: none, health, crash, slow "),
        (["frontend", "--fault", "slow"], "found fault 'slow' for frontend, expected one of:"),
        (["api"], "found 'api', expected a system of inventories/, or a service of everydayai"),
        (["everydayai/api"], "found service 'api' of everydayai, expected one of: backend, frontend"),
        (["backend", "--version", "../1"], "found version '../1', expected one such as 1.2.0"),
        (["backend", "--version", "1.0"], "found version '1.0', expected one such as 1.2.0"),
    ],
)
def test_what_cannot_be_built_is_one_sentence(words: list[str], message: str, tmp_path: Path) -> None:
    command = [sys.executable, str(builder.HERE / "build.py"), *words, "--out", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(f"build: {message}")
    assert done.stderr.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_a_wheel_that_is_not_what_is_pinned_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "h11-0.16.0-py3-none-any.whl").write_bytes(b"something else")
    monkeypatch.setattr(builder, "_download", lambda *_: None)
    requirements = (builder.HERE / "backend" / "requirements.txt").read_text()
    with pytest.raises(builder.BuildError, match=r"11 of 11 pinned wheels are missing after the download"):
        builder.fetch_wheels(requirements, tmp_path)


@pytest.mark.covers("FE-01")
def test_pinning_keeps_the_head_and_other_artefacts(tmp_path: Path) -> None:
    file = tmp_path / "releases.yaml"
    file.write_text("# yaml-language-server: $schema=x\n#\n# What hosts run.\n\nreleases: {}\n")
    first = builder.Built("backend", "1.0.0", Path("b-1.0.0.tar"), "a" * 64)
    second = builder.Built("backend", "1.1.0", Path("b-1.1.0.tar"), "b" * 64)
    front = builder.Built("frontend", "1.0.0", Path("f-1.0.0.tar"), "c" * 64)
    builder.pin([first], file)
    builder.pin([second, front], file)
    assert file.read_text().startswith("# yaml-language-server: $schema=x\n#\n# What hosts run.\n\nreleases:\n")
    assert yaml.safe_load(file.read_text())["releases"] == {
        "backend": {
            "version": "1.1.0",
            "artefacts": {
                "1.0.0": {"file": "b-1.0.0.tar", "sha256": "a" * 64},
                "1.1.0": {"file": "b-1.1.0.tar", "sha256": "b" * 64},
            },
        },
        "frontend": {"version": "1.0.0", "artefacts": {"1.0.0": {"file": "f-1.0.0.tar", "sha256": "c" * 64}}},
    }


# -- the program, installed from its artefact as a host installs it; neither database nor cache answers ---------------


@dataclass
class Instance:
    process: subprocess.Popen[str]
    port: int
    log: Path

    def get(self, path: str, token: str = "", timeout: float = 15) -> tuple[int, Any]:
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}{path}")
        if token:
            request.add_header("Authorization", f"Bearer {token}")
        try:
            with urllib.request.urlopen(request, timeout=timeout) as answer:
                text = answer.read().decode()
                return answer.status, json.loads(text) if text.startswith("{") else text
        except urllib.error.HTTPError as error:
            return error.code, json.loads(error.read())


Start = Callable[..., Instance]


@pytest.fixture(scope="module")
def release(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("release")
    artefact = builder.build("backend", "3.1.4", out=folder)
    with tarfile.open(artefact.path) as tar:
        tar.extractall(folder, filter="data")
    subprocess.run([sys.executable, "-m", "venv", str(folder / "venv")], check=True)
    install = [str(folder / "venv/bin/pip"), "install", "--quiet", "--no-index", "--require-hashes"]
    install += ["--disable-pip-version-check", "--find-links", str(folder / "wheels")]
    subprocess.run([*install, "-r", str(folder / "requirements.txt")], check=True)
    return folder


@pytest.fixture(scope="module")
def closed_port() -> Iterator[int]:
    with socket.socket() as held:  # bound and not listening: a connection is refused, and nobody else takes the port
        held.bind(("127.0.0.1", 0))
        yield held.getsockname()[1]


@pytest.fixture(scope="module")
def environ(closed_port: int) -> dict[str, str]:
    values = dict.fromkeys(REQUIRED, "planted-value")
    values |= {"PGHOST": "127.0.0.1", "REDIS_HOST": "127.0.0.1", "APP_ENV": "staging", "APP_DEBUG": "false"}
    values |= {"PGPORT": str(closed_port), "REDIS_PORT": str(closed_port), "REDIS_DB": "0", "REDIS_SSL": "false"}
    values |= {"JWT_SECRET_KEY": JWT_KEY, "JWT_ACCESS_TOKEN_EXPIRE_MINUTES": "1440"}
    return {"PATH": os.environ["PATH"], "PYTHONDONTWRITEBYTECODE": "1", **values}


@pytest.fixture
def start(release: Path, environ: dict[str, str], tmp_path: Path) -> Iterator[Start]:
    started: list[subprocess.Popen[str]] = []

    def go(fault: str = "none", workers: int = 1, **changed: str) -> Instance:
        port = free_port()
        app, log = tmp_path / f"app-{port}", tmp_path / f"log-{port}"
        subprocess.run(["cp", "-r", str(release / "app"), str(app)], check=True)
        info = app / "build_info.py"
        info.write_text(info.read_text().replace('FAULT = "none"', f'FAULT = "{fault}"'))
        command = [str(release / "venv/bin/uvicorn"), "main:app", "--host", "127.0.0.1", "--port", str(port)]
        command += ["--workers", str(workers), "--timeout-graceful-shutdown", "10"]
        variables = {name: value for name, value in {**environ, **changed}.items() if value != "unset"}
        process = subprocess.Popen(
            command, cwd=app, env=variables, stdout=log.open("w"), stderr=subprocess.STDOUT, text=True
        )
        started.append(process)
        return Instance(process, port, log)

    yield go
    for process in started:
        process.terminate()
        process.wait(timeout=30)


def serving(instance: Instance) -> Instance:
    wait_until_serving(instance.process, instance.port, instance.log, "Uvicorn running on")
    return instance


def token(instance: Instance, release: Path, key: str) -> str:
    """A token signed by the release's own code."""
    code = f"import tokens; print(tokens.issue('alex', {key!r}, 5))"
    python = str(release / "venv/bin/python")
    return subprocess.run(
        [python, "-c", code], cwd=release / "app", capture_output=True, text=True, check=True
    ).stdout.strip()


def test_dead_dependencies_harm_only_what_needs_them(start: Start, release: Path) -> None:
    instance = serving(start(JWT_SECRET_KEY_PREVIOUS="planted-previous-0123456789-0123456789"))
    assert instance.get("/health") == (200, {"status": "healthy"})
    assert instance.get("/version") == (200, {"version": "3.1.4"})
    assert instance.get("/health/db") == (503, {"status": "disconnected"})
    assert instance.get("/health/redis") == (503, {"status": "disconnected"})
    body = {"status": "not ready", "db": "disconnected", "redis": "disconnected"}
    assert instance.get("/health/ready") == (503, body)
    assert instance.get("/api/items") == (503, {"error": "a dependency does not answer"})
    status, metrics = instance.get("/metrics")
    assert status == 200
    assert 'app_info{version="3.1.4"} 1' in metrics
    assert re.search(r'http_requests_total\{worker="\d+",method="GET",status="503"\} 4', metrics)
    assert re.search(r'http_request_duration_seconds_bucket\{worker="\d+",le="\+Inf"\} [5-9]', metrics)
    for key, expected in ((JWT_KEY, 200), ("planted-previous-0123456789-0123456789", 200), ("x" * 40, 401)):
        assert instance.get("/api/me", token(instance, release, key))[0] == expected
    log = instance.log.read_text()
    assert "Database connection failed: " in log
    assert re.search(r"ERROR request GET /health/db status_code=503 took \d+ms", log)
    assert "Authentication failed: signature of no known key" in log
    assert "GET /health status_code=200" not in log
    assert "planted" not in log


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        ({"KIE_API_KEY": "unset", "PGHOST": "unset"}, "fatal: not set: PGHOST, KIE_API_KEY"),
        ({"JWT_SECRET_KEY": "x" * 31}, "fatal: JWT_SECRET_KEY has 31 characters, expected 32 or more"),
        ({"REDIS_SSL": "yes"}, "fatal: REDIS_SSL is neither true nor false"),
        ({"REDIS_PORT": "many"}, "fatal: REDIS_PORT is no whole number"),
        ({"APP_ENV": "production", "APP_DEBUG": "true"}, "fatal: APP_DEBUG is true in production, expected false"),
    ],
)
def test_it_does_not_start_without_its_variables(start: Start, changed: dict[str, str], sentence: str) -> None:
    instance = start(**changed)
    assert instance.process.wait(timeout=60) == 3
    log = instance.log.read_text()
    assert log.splitlines() == [sentence]


def test_workers_that_cannot_start_end_the_service(start: Start) -> None:
    instance = start(workers=2, PGHOST="unset")
    # Without an end of its own, uvicorn would start such workers again for ever; its parent ends with 0.
    assert instance.process.wait(timeout=60) == 0
    assert "fatal: not set: PGHOST" in instance.log.read_text()


def test_faulty_builds_fail_as_they_are_named(start: Start) -> None:
    sick = serving(start(fault="health"))
    assert sick.get("/health") == (500, {"status": "unhealthy"})
    assert sick.get("/version") == (200, {"version": "3.1.4"})
    crashed = start(fault="crash")
    assert crashed.process.wait(timeout=60) == 3
    assert crashed.log.read_text() == "fatal: this build is broken and ends at start\n"


@pytest.mark.parametrize("workers", [1, 2])
def test_a_request_in_flight_is_finished_on_sigterm(start: Start, workers: int) -> None:
    instance = serving(start(fault="slow", workers=workers))
    answers: list[tuple[int, Any]] = []
    asking = threading.Thread(target=lambda: answers.append(instance.get("/health")))
    asking.start()
    time.sleep(0.8)
    stopped = time.monotonic()
    instance.process.send_signal(signal.SIGTERM)
    instance.process.wait(timeout=30)
    asking.join(timeout=30)
    assert answers == [(200, {"status": "healthy"})]
    assert time.monotonic() - stopped < 9
    assert "backend 3.1.4 stopped" in instance.log.read_text()


def test_what_was_built_is_noted_so_that_it_can_be_removed_and_nothing_else(tmp_path: Path) -> None:
    for version in ("1.0.0", "1.0.1", "1.0.0"):
        assert builder.main(["frontend", "--version", version, "--out", str(tmp_path)]) == 0
    check = ["sha256sum", "-c", "built"]
    done = subprocess.run(check, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert sorted(done.stdout.splitlines()) == [f"everydayai-frontend-1.0.{n}.tar: OK" for n in (0, 1)]
    (tmp_path / "everydayai-frontend-1.0.1.tar").write_text("somebody else's")
    done = subprocess.run(check, cwd=tmp_path, capture_output=True, text=True, check=False)
    said = sorted(done.stdout.splitlines())
    assert said == ["everydayai-frontend-1.0.0.tar: OK", "everydayai-frontend-1.0.1.tar: FAILED"]
