"""What proves a release on its host: answers are compared as JSON, each port is asked, nothing is waited for ever."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

PROBE = Path(__file__).parents[2] / "templates" / "hostkit" / "probe"
HEALTHY = {"status": "healthy"}


class Service(ThreadingHTTPServer):
    """Answers every path with one status and body."""

    status, body, pause = 200, json.dumps(HEALTHY), 0.0

    def handle_error(self, *request: object) -> None:  # who asked has hung up
        pass


class Handler(BaseHTTPRequestHandler):
    server: Service

    def do_GET(self) -> None:
        time.sleep(self.server.pause)
        self.send_response(self.server.status)
        self.end_headers()
        self.wfile.write(self.server.body.encode())

    def log_message(self, *words: object) -> None:  # nobody reads it
        pass


@pytest.fixture
def services() -> Iterator[list[Service]]:
    """Two instances."""
    found = [Service(("127.0.0.1", 0), Handler) for _ in range(2)]
    for one in found:
        threading.Thread(target=one.serve_forever, args=(0.05,), daemon=True).start()
    yield found
    for one in found:
        one.shutdown()
        one.server_close()


def probed(folder: Path, services: list[Service], timeout_s: float = 5) -> tuple[int, str]:
    check = {"path": "/health", "expect_status": 200, "expect_json": HEALTHY, "timeout_s": timeout_s}
    slot = {"service": "api", "version": "1.0.0", "host_header": "api.test", "health": [check]}
    (folder / "slot.json").write_text(json.dumps(slot))
    ports = [str(service.server_port) for service in services]
    command = [sys.executable, "-I", str(PROBE), str(folder / "slot.json"), "0.5", *ports]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=20)
    return done.returncode, done.stderr.strip()


def test_all_instances_are_healthy(tmp_path: Path, services: list[Service]) -> None:
    services[0].body = json.dumps({"version": "1", **HEALTHY})
    assert probed(tmp_path, services) == (0, "")


@pytest.mark.covers("HC-07", "CX-24")
def test_an_answer_of_200_that_says_degraded_is_not_healthy(tmp_path: Path, services: list[Service]) -> None:
    services[1].body = '{"status": "degraded"}'
    code, said = probed(tmp_path, services)
    assert code == 1
    assert said == (
        f'GET /health on port {services[1].server_port}: found status: "degraded", expected "healthy" '
        "(api 1.0.0, within 0.5 s)"
    )


@pytest.mark.parametrize(
    ("status", "body", "reason"),
    [
        (500, "{}", "found status 500, expected 200"),
        (200, "healthy", "found a body that is not JSON"),
        (200, "[1]", 'found status: [1], expected "healthy"'),
        (200, "{}", 'found status: null, expected "healthy"'),
    ],
)
def test_other_answers(tmp_path: Path, services: list[Service], status: int, body: str, reason: str) -> None:
    services[0].status, services[0].body = status, body
    code, said = probed(tmp_path, services)
    assert (code, reason in said) == (1, True), said


def test_what_hangs_is_not_waited_for(tmp_path: Path, services: list[Service]) -> None:
    services[0].pause = 8
    started = time.monotonic()
    code, said = probed(tmp_path, services, timeout_s=0.3)
    assert code == 1
    assert "found no answer" in said
    assert time.monotonic() - started < 6
