"""Short links: /CODE leads to where it points and is counted; under the admin's name links are made and listed.

Two databases: `LINKS_DATABASE` holds what may never be lost, `VISITS_DATABASE` what only counts.
"""

from __future__ import annotations

import json
import os
import re
import secrets
import threading
import time
from collections.abc import Callable, Iterable
from hmac import compare_digest
from typing import Any

import pg8000.native
from prometheus_client import CONTENT_TYPE_LATEST, Counter, Histogram, generate_latest

LINKS, VISITS = os.environ["LINKS_DATABASE"], os.environ["VISITS_DATABASE"]
TABLES = {
    LINKS: "CREATE TABLE IF NOT EXISTS links (code text PRIMARY KEY, target text NOT NULL)",
    VISITS: "CREATE TABLE IF NOT EXISTS visits (code text, day date, count bigint, PRIMARY KEY (code, day))",
}
ADMIN_HOST, ADMIN_TOKEN = os.environ["ADMIN_HOST"], os.environ["ADMIN_TOKEN"]
TARGET = re.compile(r"https?://[^\s\"'<>\\]{1,2000}")

REQUESTS = Counter("http_requests_total", "Requests answered", ["method", "status"])
SECONDS = Histogram("http_request_duration_seconds", "Time to an answer")
DATABASE_ERRORS = Counter("db_connection_errors_total", "Connections to the database that failed")
FOLLOWED = Counter("links_followed_total", "Visits of links that are there")
REQUESTS.labels("GET", "200")  # there before the first request, so that nothing is missing on a quiet day

Answer = tuple[int, bytes, dict[str, str]]
WORDS = {200: "OK", 201: "Created", 302: "Found", 400: "Bad Request", 401: "Unauthorized", 404: "Not Found"}


class Databases(threading.local):
    """This thread's connections, one a database; one that was lost is opened again."""

    def __init__(self) -> None:
        self.opened: dict[str, Any] = {}

    def run(self, name: str, statement: str, **values: Any) -> list[Any]:
        """The rows of one statement, committed."""
        try:
            return self._connection(name).run(statement, **values) or []
        except (pg8000.native.InterfaceError, OSError):
            DATABASE_ERRORS.inc()
            self.opened.pop(name, None)
            return self._connection(name).run(statement, **values) or []

    def _connection(self, name: str) -> Any:
        if name not in self.opened:
            new = pg8000.native.Connection(
                os.environ["PGUSER"],
                password=os.environ["PGPASSWORD"],
                host=os.environ["PGHOST"],
                port=int(os.environ["PGPORT"]),
                database=name,
                timeout=5,
            )
            # One at a time: two that make the same table at once would both try.
            for statement in ("START TRANSACTION", "SELECT pg_advisory_xact_lock(1)", TABLES[name], "COMMIT"):
                new.run(statement)
            self.opened[name] = new
        return self.opened[name]


databases = Databases()


def application(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    """What waitress calls for each request."""
    method, path, began = environ["REQUEST_METHOD"], environ["PATH_INFO"], time.monotonic()
    try:
        status, body, headers = _answer(method, path, environ)
    except (pg8000.native.DatabaseError, pg8000.native.InterfaceError, OSError) as error:
        status, body, headers = _as_json(503, {"detail": f"database: {type(error).__name__}"})
    # What probes ask is no request of anybody's: it would hide how many of theirs fail.
    if path != "/metrics" and not path.startswith("/health"):
        REQUESTS.labels(method if method in ("GET", "POST", "HEAD") else "other", str(status)).inc()
        SECONDS.observe(time.monotonic() - began)
    start_response(
        f"{status} {WORDS.get(status, 'Unavailable')}", [*headers.items(), ("Content-Length", str(len(body)))]
    )
    return [b"" if method == "HEAD" else body]


def _answer(method: str, path: str, environ: dict[str, Any]) -> Answer:
    if path == "/health":
        return _as_json(200, {"status": "healthy"})
    if path == "/health/db":
        for name in TABLES:
            databases.run(name, "SELECT 1")
        return _as_json(200, {"status": "connected"})
    if path == "/metrics":
        return 200, generate_latest(), {"Content-Type": CONTENT_TYPE_LATEST}
    if environ.get("HTTP_HOST", "").partition(":")[0] == ADMIN_HOST:
        return _admin(method, path, environ)
    return _follow(path.removeprefix("/"))


def _follow(code: str) -> Answer:
    rows = databases.run(LINKS, "SELECT target FROM links WHERE code = :code", code=code)
    if not rows:
        return _as_json(404, {"detail": "no such link"})
    databases.run(
        VISITS,
        "INSERT INTO visits VALUES (:code, current_date, 1) "
        "ON CONFLICT (code, day) DO UPDATE SET count = visits.count + 1",
        code=code,
    )
    FOLLOWED.inc()
    return 302, b"", {"Location": rows[0][0]}


def _admin(method: str, path: str, environ: dict[str, Any]) -> Answer:
    said = environ.get("HTTP_AUTHORIZATION", "").removeprefix("Bearer ")
    if not compare_digest(said.encode(), ADMIN_TOKEN.encode()):
        return _as_json(401, {"detail": "Authorization: Bearer TOKEN"})
    if path != "/links":
        return _as_json(404, {"detail": "GET or POST /links"})
    if method == "POST":
        size = min(int(environ.get("CONTENT_LENGTH") or 0), 4096)
        target = environ["wsgi.input"].read(size).decode(errors="replace").strip()
        if not TARGET.fullmatch(target):
            return _as_json(400, {"detail": "the body is the URL that the link leads to"})
        code = secrets.token_urlsafe(6)
        databases.run(LINKS, "INSERT INTO links VALUES (:code, :target)", code=code, target=target)
        return _as_json(201, {"code": code})
    counted = dict(databases.run(VISITS, "SELECT code, sum(count)::bigint FROM visits GROUP BY code"))
    links = databases.run(LINKS, "SELECT code, target FROM links ORDER BY code LIMIT 1000")
    return _as_json(200, [{"code": code, "target": to, "visits": counted.get(code, 0)} for code, to in links])


def _as_json(status: int, data: Any) -> Answer:
    return status, (json.dumps(data) + "\n").encode(), {"Content-Type": "application/json"}
