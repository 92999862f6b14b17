"""Redis: a small blocking pool with time limits, connected when it is asked."""

from __future__ import annotations

import logging
import secrets

import redis.asyncio as redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from build_info import NAME
from settings import Settings

log = logging.getLogger(NAME)

CONNECTIONS = 2
WAIT_S = 2.0
ANSWER_S = 1.0


# Once more, at once: a kept connection dies with a restart of the server. Longer patience is the caller's.
# Version 2 of the protocol: no handshake beyond AUTH and SELECT, so any user's rights will do.
_COMMON = {
    "max_connections": CONNECTIONS,
    "timeout": WAIT_S,
    "socket_timeout": ANSWER_S,
    "socket_connect_timeout": ANSWER_S,
    "retry": Retry(NoBackoff(), 1),
    "decode_responses": True,
    "protocol": 2,
    "lib_name": None,
    "lib_version": None,
}


class CacheError(Exception):
    """Redis did not answer, or refused."""


class NotUsedError(CacheError):
    """Nothing names a cache: this service uses none."""


def _pool(settings: Settings) -> redis.BlockingConnectionPool:
    return redis.BlockingConnectionPool(
        connection_class=redis.SSLConnection if settings.redis_ssl else redis.Connection,
        host=settings.redis_host,
        port=settings.redis_port,
        username=settings.redis_username,
        password=settings.redis_password or None,
        db=settings.redis_db,
        **_COMMON,
    )


class Cache:
    """What the service keeps in Redis: a probe of its own and counters."""

    def __init__(self, settings: Settings) -> None:
        self._used = bool(settings.redis_url or settings.redis_host)
        if settings.redis_url:
            self._pool = redis.BlockingConnectionPool.from_url(settings.redis_url, **_COMMON)
        else:
            self._pool = _pool(settings)
        self._client = redis.Redis(connection_pool=self._pool)

    async def probe(self) -> None:
        """A real PING, SET and GET.

        Raises:
            CacheError: one of them failed, or another value came back.
        """
        if not self._used:
            raise NotUsedError("not used")
        token = secrets.token_hex(8)
        key = f"{NAME}:probe:{token}"  # one a probe: two at the same time must not read each other's value
        try:
            await self._client.ping()
            await self._client.set(key, token, ex=10)
            back = await self._client.get(key)
        except (RedisError, OSError) as error:
            raise self._failed(error) from error
        if back != token:
            raise self._failed(ValueError("another value came back than was set"))

    async def count(self, name: str) -> int:
        """Adds one to a counter and gives it; without a cache there is none to count in.

        Raises:
            CacheError: Redis did not answer.
        """
        if not self._used:
            return 0
        try:
            number: int = await self._client.incr(f"{NAME}:{name}")
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
