"""Redis: a small blocking pool with time limits, connected when it is asked."""

from __future__ import annotations

import logging
import secrets

import redis.asyncio as redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from settings import Settings

log = logging.getLogger("backend")

CONNECTIONS = 2
WAIT_S = 2.0
ANSWER_S = 1.0


class CacheError(Exception):
    """Redis did not answer, or refused."""


class Cache:
    """What the service keeps in Redis: a probe of its own and counters."""

    def __init__(self, settings: Settings) -> None:
        kind = redis.SSLConnection if settings.redis_ssl else redis.Connection
        self._pool = redis.BlockingConnectionPool(
            connection_class=kind,
            host=settings.redis_host,
            port=settings.redis_port,
            username=settings.redis_username,
            password=settings.redis_password,
            db=settings.redis_db,
            max_connections=CONNECTIONS,
            timeout=WAIT_S,
            socket_timeout=ANSWER_S,
            socket_connect_timeout=ANSWER_S,
            # Once more, at once: a kept connection dies with a restart of the server. Longer patience is the caller's.
            retry=Retry(NoBackoff(), 1),
            decode_responses=True,
            # Version 2 of the protocol: no handshake beyond AUTH and SELECT, so any user's rights will do.
            protocol=2,
            lib_name=None,
            lib_version=None,
        )
        self._client = redis.Redis(connection_pool=self._pool)

    async def probe(self) -> None:
        """A real PING, SET and GET.

        Raises:
            CacheError: one of them failed, or another value came back.
        """
        token = secrets.token_hex(8)
        key = f"backend:probe:{token}"  # one a probe: two at the same time must not read each other's value
        try:
            await self._client.ping()
            await self._client.set(key, token, ex=10)
            back = await self._client.get(key)
        except (RedisError, OSError) as error:
            raise self._failed(error) from error
        if back != token:
            raise self._failed(ValueError("another value came back than was set"))

    async def count(self, name: str) -> int:
        """Adds one to a counter and gives it.

        Raises:
            CacheError: Redis did not answer.
        """
        try:
            number: int = await self._client.incr(f"backend:{name}")
            return number
        except (RedisError, OSError) as error:
            raise self._failed(error) from error

    def _failed(self, error: Exception) -> CacheError:
        reason = str(error).partition("\n")[0] or type(error).__name__
        log.error("Redis connection or command failed: %s", reason)
        return CacheError(reason)

    async def close(self) -> None:
        """Closes all connections."""
        await self._client.aclose()
        await self._pool.disconnect()
