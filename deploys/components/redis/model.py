"""The `redis` section: memory, policy, persistence, and users by ACL."""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from mainstay.inventory import ByteSize, Environment, Host, Listener, Port, Problem, SecretName, StrictModel, per_env
from mainstay.inventory import Identifier

ROLES = frozenset({"cache"})
Policy = Literal[
    "noeviction",
    "allkeys-lru",
    "allkeys-lfu",
    "allkeys-random",
    "volatile-lru",
    "volatile-lfu",
    "volatile-random",
    "volatile-ttl",
]


def _rule(value: str) -> str:
    if not re.fullmatch(r"[+-](@[a-z]+|[a-z]+(\|[a-z-]+)?)", value):
        raise ValueError("an ACL rule such as +@read, -@dangerous or +info")
    return value


def _keys(value: str) -> str:
    if not re.fullmatch(r"[!-~]{1,128}", value):
        raise ValueError("a key pattern such as * or session:*")
    return value


class User(StrictModel):
    """One user: what it may run, on which keys."""

    password: SecretName
    rules: list[Annotated[str, AfterValidator(_rule)]] = Field(min_length=1, description="in Redis's own order")
    keys: list[Annotated[str, AfterValidator(_keys)]] = Field(default_factory=lambda: ["*"])


class Section(StrictModel):
    """The server."""

    managed: bool = Field(False, description="somebody else runs it: checks only, nothing is installed (CX-21)")
    port: Port = 6379
    databases: int = Field(16, ge=1, le=1024)
    maxmemory: ByteSize = per_env("256mb", validate_default=True)
    policy: Policy = "noeviction"
    persistence: Literal["rdb", "aof", "none"] = "rdb"
    maxclients: int = per_env(1000, ge=10, le=100000)
    users: dict[Identifier, User] = Field(default_factory=dict)


def section(env: Environment) -> Section:
    """The environment's own section."""
    found = env.section("redis")
    assert isinstance(found, Section)
    return found


def listeners(env: Environment, host: Host) -> list[Listener]:
    """The server's port, for the hosts that run services."""
    redis = section(env)
    if redis.managed or "cache" not in host.roles:
        return []
    clients = {service.role for service in env.services.values() if service.kind != "static"}
    return [Listener(redis.port, "redis", "private", tuple(sorted(clients)), ("redis", "port"))]


def check(env: Environment) -> list[Problem]:
    """The server fits its host; the default user is not ours to define, it is switched off."""
    redis = section(env)
    problems = []
    if "default" in redis.users:
        problems.append(env.problem(("redis", "users", "default"), "the default user", "users with names of their own"))
    if redis.managed:
        return problems
    hosts = env.hosts_of("cache")
    if not hosts:
        problems.append(env.problem(("redis", "managed"), "false and no host with role cache", "such a host"))
    for host in hosts:
        # A fork for the RDB or AOF file may copy every page while clients write.
        need = redis.maxmemory * (1 if redis.persistence == "none" else 2)
        if need > host.memory:
            found = f"{redis.maxmemory >> 20} MiB on {host.name}, which has {host.memory >> 20} MiB"
            problems.append(env.problem(("redis", "maxmemory"), found, "half of the host's memory at most"))
    return problems
