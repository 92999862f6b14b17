"""The `redis` section: memory, policy, persistence, and users by ACL."""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from mainstay.inventory import (
    ByteSize,
    Environment,
    Host,
    Identifier,
    Listener,
    MemoryShare,
    Port,
    Problem,
    SecretName,
    Service,
    StrictModel,
    demands,
    per_env,
)

ROLES = frozenset({"cache"})
UNIT = "redis-server.service"
POOL = "REDIS_POOL_SIZE"
"""The variable that says how many connections to Redis each process of a service may open (PT-12)."""
ADMIN = "mainstay"
"""The user by which Mainstay changes settings and users of a running server."""

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
SPARE_CLIENTS = 10
"""Connections beyond those of services: the exporter's, the user mainstay's, people's."""
_OF_KEYS = frozenset({"keys", "flushall", "flushdb", "swapdb", "migrate"})
_OF_ADMIN = frozenset({"config", "acl", "debug", "shutdown", "replicaof", "slaveof", "module", "save", "monitor"})
DENIED = _OF_KEYS | _OF_ADMIN
"""Commands that no service needs: they block, wipe, listen in, take the data elsewhere or reconfigure (DF-78)."""


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
    channels: list[Annotated[str, AfterValidator(_keys)]] = Field(default_factory=list, description="pub/sub, none")


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
    admin_password: SecretName = Field("REDIS_ADMIN_PASSWORD", description=f"of the user {ADMIN}, on the host only")
    allow_restart: bool = per_env(False, description="whether an apply may restart a server that would lose its data")


def section(env: Environment) -> Section:
    """The environment's own section."""
    return env.section("redis", Section)


def clients(env: Environment) -> list[str]:
    """The inventory's roles whose hosts connect: those that run programs."""
    return sorted({service.role for service in env.services.values() if service.kind != "static"})


def listeners(env: Environment, host: Host) -> list[Listener]:
    """The server's port, for the hosts that run services."""
    redis = section(env)
    if redis.managed or "cache" not in host.roles:
        return []
    return [Listener(redis.port, "redis", "private", tuple(clients(env)), ("redis", "port"))]


def memory(env: Environment, host: Host) -> list[MemoryShare]:
    """What the server may use: `maxmemory`, twice where it writes its data."""
    redis = section(env)
    if redis.managed or "cache" not in host.roles:
        return []
    # A fork for the RDB or AOF file may copy every page while clients write.
    return [MemoryShare("redis.maxmemory", 1 if redis.persistence == "none" else 2, redis.maxmemory)]


def check(env: Environment) -> list[Problem]:
    """The server has a host; no user may block, wipe or reconfigure it; the default user is switched off."""
    redis = section(env)
    problems = _check_users(env, redis)
    if redis.managed:
        return problems
    if not env.hosts_of("cache"):
        problems.append(env.problem(("redis", "managed"), "false and no host with role cache", "such a host"))
    problems += _check_one(env, env.hosts_of("cache"))
    return [*problems, *_check_pools(env, redis)]


def _check_one(env: Environment, hosts: list[Host]) -> list[Problem]:
    """Services that are told where it is know the first host only: a second would be a Redis that nobody asks."""
    if not any(service.is_told("cache") for service in env.services.values()):
        return []
    return [
        env.problem(("hosts", host.name, "roles"), f"cache, which {hosts[0].name} has", "one host with role cache")
        for host in hosts[1:]
    ]


def _check_pools(env: Environment, redis: Section) -> list[Problem]:
    """The pools of all processes that are told how large theirs is fit what the server takes (PT-12)."""
    shares = demands(env, _pool)
    least = sum(share.connections for share in shares) + SPARE_CLIENTS
    if not shares or least <= redis.maxclients:
        return []
    said = "; ".join(map(str, shares))
    expected = f"at least {least}: {SPARE_CLIENTS} for the exporter and people, and {POOL} of all processes: {said}"
    return [env.problem(("redis", "maxclients"), str(redis.maxclients), expected)]


def _pool(service: Service) -> int:
    size = service.env_vars[POOL].value if POOL in service.env_vars else 0
    return size if isinstance(size, int) else 0


def _check_users(env: Environment, redis: Section) -> list[Problem]:
    problems = []
    for name, user in redis.users.items():
        key = ("redis", "users", name)
        if name in ("default", ADMIN):
            problems.append(env.problem(key, f"the user {name}", "another name: this one is the component's own"))
        granted = sorted(may_run(user.rules))
        if granted:
            expected = "rules that end without them, such as +@all -@admin -@dangerous (DF-78)"
            problems.append(env.problem((*key, "rules"), f"rules that allow {', '.join(granted)}", expected))
    return problems


def may_run(rules: list[str]) -> set[str]:
    """Which of the denied commands (or their categories) the rules allow, read in Redis's own order."""
    allowed: set[str] = set()
    for rule in rules:
        word, _, sub = rule[1:].partition("|")
        if sub and rule.startswith("-"):
            continue  # the others of its subcommands stay
        # Every denied command is in @admin, @dangerous, or both; @keyspace, @read and the like hold KEYS and FLUSHALL.
        touched = {word} & DENIED if not word.startswith("@") else set(_IN_CATEGORY.get(word, ()))
        allowed = allowed | touched if rule.startswith("+") else allowed - touched
    return allowed


_IN_CATEGORY: dict[str, frozenset[str]] = {
    "@all": DENIED,
    "@dangerous": DENIED,
    "@admin": _OF_ADMIN,
    "@slow": DENIED - {"swapdb"},
    "@fast": frozenset({"swapdb"}),
    "@keyspace": _OF_KEYS,
    "@write": _OF_KEYS - {"keys"},
    "@read": frozenset({"keys"}),
}
