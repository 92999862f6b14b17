"""PostgreSQL: a small pool that connects when it is asked, so that a dead database harms only what needs it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import psycopg

from build_info import NAME

log = logging.getLogger(NAME)

CONNECT_S = 2
QUERY_S = 3.0
WAIT_S = 2.0
MIGRATION = Path(__file__).parent / "migrations" / "20261122_create_items.sql"

Rows = list[tuple[Any, ...]]


class DatabaseError(Exception):
    """The database did not answer, or refused; the message is for the log and the operator."""


class NotUsedError(DatabaseError):
    """Nothing names a database: this service uses none."""


class MissingTableError(DatabaseError):
    """A table is not there: its migration has not been applied."""


class Database:
    """At most `size` connections.

    Host, role and password come from libpq's variables (PGHOST, PGUSER ...) and from `address`; None is no database.
    """

    def __init__(self, size: int, address: str | None) -> None:
        self.address = address
        self.size = size
        self.in_use = 0
        self._free = asyncio.Semaphore(size)
        self._idle: list[psycopg.AsyncConnection] = []

    async def fetch(self, query: str, parameters: Sequence[Any] = ()) -> Rows:
        """The rows of one statement, committed.

        Raises:
            DatabaseError: no connection, no answer in time, or the statement failed.
        """
        if self.address is None:
            raise NotUsedError("not used")
        try:
            async with asyncio.timeout(WAIT_S):
                await self._free.acquire()
        except TimeoutError:
            log.error("Database connection pool exhausted: all %d in use for %.0f s", self.size, WAIT_S)
            raise DatabaseError("connection pool exhausted") from None
        self.in_use += 1
        try:
            return await self._with_one_retry(query, parameters)
        except (psycopg.Error, OSError, TimeoutError) as error:
            reason = str(error).strip().partition("\n")[0] or "no answer in time"
            answered = isinstance(error, psycopg.Error) and not isinstance(error, psycopg.OperationalError)
            log.error("Database %s failed: %s", "query" if answered else "connection", reason)
            kind = MissingTableError if isinstance(error, psycopg.errors.UndefinedTable) else DatabaseError
            raise kind(reason) from error
        finally:
            self.in_use -= 1
            self._free.release()

    async def _with_one_retry(self, query: str, parameters: Sequence[Any]) -> Rows:
        """An idle connection may have died since (a restart of the server): that once, a new one is tried."""
        while self._idle:
            connection = self._idle.pop()
            try:
                return await self._run(connection, query, parameters)
            except psycopg.OperationalError:
                continue
        connection = await psycopg.AsyncConnection.connect(
            self.address or "",
            connect_timeout=CONNECT_S,
            application_name=NAME,
            autocommit=True,
            # A pooler may send the next statement to a connection that never prepared it.
            prepare_threshold=None,
        )
        return await self._run(connection, query, parameters)

    async def _run(self, connection: psycopg.AsyncConnection, query: str, parameters: Sequence[Any]) -> Rows:
        try:
            async with asyncio.timeout(QUERY_S):
                cursor = await connection.execute(query, parameters)
                rows = await cursor.fetchall() if cursor.description else []
        except psycopg.Error:
            await self._put_back(connection)
            raise
        except BaseException:  # a time limit or a closed request leaves the connection in the middle of an answer
            await connection.close()
            raise
        await self._put_back(connection)
        return rows

    async def _put_back(self, connection: psycopg.AsyncConnection) -> None:
        if connection.closed or connection.broken:
            await connection.close()
        else:
            self._idle.append(connection)

    async def close(self) -> None:
        """Closes what is idle."""
        while self._idle:
            await self._idle.pop().close()


async def ensure_items(database: Database) -> None:
    """Makes the table where this role may; else the migration has to, as the owner.

    Raises:
        DatabaseError: neither is the table there nor may this role make it.
    """
    await database.fetch(MIGRATION.read_text())
