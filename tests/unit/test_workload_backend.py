"""The stand-in backend, installed from its artefact as a host installs it; neither database nor cache answers."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.unit.serving import free_port, installed, programs, wait_until_serving
from workload import build as builder

JWT_KEY = "planted-jwt-key-0123456789-0123456789"
REQUIRED = [
    line.partition("=")[0]
    for line in (builder.HERE / "backend" / ".env.example").read_text().splitlines()
    if line and not line.startswith("#")
]


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
    return installed(builder.build("backend", "3.1.4", out=folder).path, folder)


@pytest.fixture(scope="module")
def environ(refusing_port: int) -> dict[str, str]:
    values = dict.fromkeys(REQUIRED, "planted-value")
    values |= {"PGHOST": "127.0.0.1", "REDIS_HOST": "127.0.0.1", "APP_ENV": "staging", "APP_DEBUG": "false"}
    values |= {"PGPORT": str(refusing_port), "REDIS_PORT": str(refusing_port), "REDIS_DB": "0", "REDIS_SSL": "false"}
    values |= {"JWT_SECRET_KEY": JWT_KEY, "JWT_ACCESS_TOKEN_EXPIRE_MINUTES": "1440"}
    return {"PATH": os.environ["PATH"], "PYTHONDONTWRITEBYTECODE": "1", **values}


@pytest.fixture
def start(release: Path, environ: dict[str, str], tmp_path: Path) -> Iterator[Start]:
    def go(fault: str = "none", workers: int = 1, **changed: str) -> Instance:
        port = free_port()
        app, log = tmp_path / f"app-{port}", tmp_path / f"log-{port}"
        subprocess.run(["cp", "-r", str(release / "app"), str(app)], check=True)
        info = app / "build_info.py"
        info.write_text(info.read_text().replace('FAULT = "none"', f'FAULT = "{fault}"'))
        command = [str(release / "venv/bin/uvicorn"), "main:app", "--host", "127.0.0.1", "--port", str(port)]
        command += ["--workers", str(workers), "--timeout-graceful-shutdown", "10"]
        variables = {name: value for name, value in {**environ, **changed}.items() if value != "unset"}
        return Instance(begin(command, app, variables, log), port, log)

    with programs() as begin:
        yield go


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
