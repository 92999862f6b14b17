"""Logs and metrics: a line a request with its status and time, counters as Prometheus reads them."""

from __future__ import annotations

import asyncio
import logging
import os
import sys
import time
from collections import Counter

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from build_info import NAME

log = logging.getLogger(NAME)

# Probes come several times a second; they are logged when they fail.
QUIET = ("/health", "/metrics", "/version")
SLOW_S = 2.0
BOUNDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.2, 0.25, 0.5, 1, 2.5, 5, 10)


def configure_logging(level: str) -> None:
    """Everything on standard output, one line each; uvicorn's own access log would say each request twice."""
    logging.basicConfig(stream=sys.stdout, level=level, format="%(asctime)s %(levelname)s %(message)s", force=True)
    logging.getLogger("uvicorn.access").disabled = True


class Metrics:
    """Counters of this worker process; each series names the worker, because workers share nothing."""

    def __init__(self, version: str) -> None:
        self.version = version
        self.started = time.time()
        self.requests: Counter[tuple[str, int]] = Counter()
        self.seconds = 0.0
        self.buckets = [0] * len(BOUNDS)

    def observe(self, method: str, status: int, seconds: float) -> None:
        """One answered request."""
        self.requests[method, status] += 1
        self.seconds += seconds
        for index, bound in enumerate(BOUNDS):
            self.buckets[index] += seconds <= bound

    def render(self, pool_size: int, pool_in_use: int) -> str:
        """The text format of Prometheus, version 0.0.4."""
        total = sum(self.requests.values())
        worker = f'worker="{os.getpid()}"'
        lines = [
            "# TYPE app_info gauge",
            f'app_info{{version="{self.version}"}} 1',
            "# TYPE process_start_time_seconds gauge",
            f"process_start_time_seconds{{{worker}}} {self.started:.3f}",
            "# TYPE http_requests_total counter",
            *(
                f'http_requests_total{{{worker},method="{method}",status="{status}"}} {count}'
                for (method, status), count in sorted(self.requests.items())
            ),
            "# TYPE http_request_duration_seconds histogram",
            *(
                f'http_request_duration_seconds_bucket{{{worker},le="{bound}"}} {count}'
                for bound, count in zip((*BOUNDS, "+Inf"), (*self.buckets, total), strict=True)
            ),
            f"http_request_duration_seconds_sum{{{worker}}} {self.seconds:.6f}",
            f"http_request_duration_seconds_count{{{worker}}} {total}",
            "# TYPE db_pool_size gauge",
            f"db_pool_size{{{worker}}} {pool_size}",
            "# TYPE db_pool_in_use gauge",
            f"db_pool_in_use{{{worker}}} {pool_in_use}",
        ]
        return "\n".join(lines) + "\n"


class RequestLog:
    """ASGI middleware: measures, counts and logs each request."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self.app = app
        self.metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request; other scopes pass through."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        status = 500
        start = time.perf_counter()

        async def watch(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self.app(scope, receive, watch)
        finally:
            took = time.perf_counter() - start
            self.metrics.observe(scope["method"], status, took)
            if status >= 400 or not scope["path"].startswith(QUIET):
                level = logging.ERROR if status >= 500 else logging.INFO
                line = "request %s %s status_code=%d took %.0fms"
                log.log(
                    level, line, scope["method"], scope["path"].encode("unicode_escape").decode(), status, took * 1e3
                )


class Slow:
    """ASGI middleware of the slow build: every answer takes SLOW_S seconds longer."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request, later."""
        if scope["type"] == "http":
            await asyncio.sleep(SLOW_S)
        await self.app(scope, receive, send)
