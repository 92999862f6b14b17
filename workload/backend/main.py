"""The backend: health that really asks PostgreSQL and Redis, items in a table, tokens, metrics.

Run by `uvicorn main:app`. On SIGTERM uvicorn finishes the requests in flight, then the pools are closed.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import sys
from collections.abc import AsyncIterator

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

import settings as settings_module
import tokens
from build_info import FAULT, NAME, VERSION
from cache import Cache, CacheError
from cache import NotUsedError as NoCacheError
from database import Database, DatabaseError, MissingTableError, Rows, ensure_items
from database import NotUsedError as NoDatabaseError
from telemetry import Metrics, RequestLog, Slow, configure_logging

# uvicorn stops its parent process on this code; on another it would start the worker again, for ever.
STARTUP_FAILURE = 3
LARGEST_BODY = 64 * 1024

if FAULT == "crash":
    print("fatal: this build is broken and ends at start", file=sys.stderr, flush=True)
    raise SystemExit(STARTUP_FAILURE)
try:
    settings = settings_module.load()
except settings_module.SettingsError as error:
    print(f"fatal: {error}", file=sys.stderr, flush=True)
    raise SystemExit(STARTUP_FAILURE) from None

configure_logging(settings.log_level)
log = logging.getLogger(NAME)
metrics = Metrics(VERSION)
database = Database(settings.pool_size, settings.database)
cache = Cache(settings)


async def health(_request: Request) -> Response:
    """The process answers."""
    if FAULT == "health":
        return JSONResponse({"status": "unhealthy"}, 500)
    return JSONResponse({"status": "healthy"})


async def health_db(_request: Request) -> Response:
    """PostgreSQL answers a real query."""
    return _dependency(await _database_state())


async def health_redis(_request: Request) -> Response:
    """Redis answers PING, SET and GET."""
    return _dependency(await _cache_state())


async def health_ready(_request: Request) -> Response:
    """The service and what it depends on."""
    db, redis = await asyncio.gather(_database_state(), _cache_state())
    ready = "disconnected" not in (db, redis) and FAULT != "health"
    body = {"status": "ready" if ready else "not ready", "db": db, "redis": redis}
    return JSONResponse(body, 200 if ready else 503)


async def version(_request: Request) -> Response:
    """Which release this is."""
    return JSONResponse({"version": VERSION})


async def prometheus(_request: Request) -> Response:
    """Counters of the worker that answers."""
    text = metrics.render(database.size, database.in_use)
    return PlainTextResponse(text, media_type="text/plain; version=0.0.4")


async def list_items(_request: Request) -> Response:
    """The newest 20 items, and how often they were read."""
    rows = await _items("SELECT id, name, created FROM items ORDER BY id DESC LIMIT 20")
    items = [{"id": number, "name": name, "created": created.isoformat()} for number, name, created in rows]
    return JSONResponse({"items": items, "reads": await cache.count("items:reads")})


async def add_item(request: Request) -> Response:
    """Stores `{"name": ...}`."""
    if int(request.headers.get("content-length") or 0) > LARGEST_BODY:
        log.warning("File too large: %s bytes", request.headers["content-length"])
        return JSONResponse({"error": "too large"}, 413)
    try:
        name = json.loads(await request.body())["name"]
    except (ValueError, KeyError, TypeError):
        name = None
    if not isinstance(name, str) or not 1 <= len(name) <= 200 or "\0" in name:
        return JSONResponse({"error": "expected a name of 1 to 200 characters"}, 422)
    rows = await _items("INSERT INTO items (name) VALUES (%s) RETURNING id", name)
    return JSONResponse({"id": rows[0][0], "writes": await cache.count("items:writes")}, 201)


async def me(request: Request) -> Response:
    """Who the bearer of the token is."""
    kind, _, token = request.headers.get("authorization", "").partition(" ")
    try:
        if kind.lower() != "bearer":
            raise tokens.TokenError("no bearer token")
        return JSONResponse({"subject": tokens.subject_of(token, settings.jwt_keys)})
    except tokens.TokenError as error:
        log.warning("Authentication failed: %s", error)
        return JSONResponse({"error": "authentication failed"}, 401)


async def _items(query: str, *parameters: str) -> Rows:
    """Rows of `items`, which is made first where it is not there and this role may."""
    try:
        return await database.fetch(query, parameters)
    except MissingTableError:
        await ensure_items(database)
    return await database.fetch(query, parameters)


def _dependency(state: str) -> Response:
    return JSONResponse({"status": state}, 503 if state == "disconnected" else 200)


async def _database_state() -> str:
    try:
        await database.fetch("SELECT count(*) FROM pg_catalog.pg_stat_activity WHERE datname = current_database()")
    except NoDatabaseError:
        return "not used"
    except DatabaseError:
        return "disconnected"
    return "connected"


async def _cache_state() -> str:
    try:
        await cache.probe()
    except NoCacheError:
        return "not used"
    except CacheError:
        return "disconnected"
    return "connected"


async def unavailable(_request: Request, _error: Exception) -> Response:
    """A dependency does not answer; the log says which and why."""
    if isinstance(_error, NoDatabaseError):
        return JSONResponse({"error": "this service uses no database"}, 501)
    return JSONResponse({"error": "a dependency does not answer"}, 503)


@contextlib.asynccontextmanager
async def lifespan(_app: Starlette) -> AsyncIterator[None]:
    """Says when this worker serves, and closes the pools after its last request."""
    log.info("%s %s serves %s", NAME, VERSION, settings.environment)
    yield
    await database.close()
    await cache.close()
    log.info("%s %s stopped", NAME, VERSION)


app = Starlette(
    routes=[
        Route("/health", health),
        Route("/health/ready", health_ready),
        Route("/health/db", health_db),
        Route("/health/redis", health_redis),
        Route("/version", version),
        Route("/metrics", prometheus),
        Route("/api/items", list_items, methods=["GET"]),
        Route("/api/items", add_item, methods=["POST"]),
        Route("/api/me", me),
    ],
    middleware=[Middleware(RequestLog, metrics=metrics), *([Middleware(Slow)] if FAULT == "slow" else [])],
    exception_handlers={DatabaseError: unavailable, CacheError: unavailable},
    lifespan=lifespan,
)
