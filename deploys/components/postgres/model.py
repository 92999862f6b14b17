"""The `postgres` section: one cluster on the db host, its databases, and roles that may do what they need."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from mainstay.inventory import (
    Duration,
    Environment,
    Host,
    Identifier,
    Listener,
    Port,
    Problem,
    Scalar,
    SecretName,
    StrictModel,
    per_env,
)

ROLES = frozenset({"db", "db_replica"})


class Database(StrictModel):
    """One database; its owner migrates it and nobody else changes its structure."""

    owner: Identifier
    extensions: list[Identifier] = Field(default_factory=list)
    connection_limit: int | None = per_env(None, ge=1, le=10000)


class RoleSpec(StrictModel):
    """One role of the cluster.

    `owner` owns the database and migrates; `app` reads and writes rows; `readonly` reads; `backup` reads everything.
    """

    kind: Literal["owner", "app", "readonly", "backup"]
    databases: list[Identifier] = Field(min_length=1)
    password: SecretName | None = Field(None, description="without one the role cannot log in over the network")
    connection_limit: int | None = per_env(None, ge=1, le=10000)


class Pooler(StrictModel):
    """PgBouncer in front of the cluster."""

    enabled: bool = False
    port: Port = 6432


class Section(StrictModel):
    """The cluster."""

    managed: bool = Field(False, description="somebody else runs it: checks only, nothing is installed (CX-21)")
    major: Literal[15, 16, 17] = 15
    port: Port = 5432
    databases: dict[Identifier, Database] = Field(default_factory=dict)
    roles: dict[Identifier, RoleSpec] = Field(default_factory=dict)
    max_connections: int = per_env(100, ge=20, le=10000)
    settings: dict[Identifier, Scalar] = per_env(default_factory=dict, description="over what is computed from the host")
    allow_restart: bool = per_env(False, description="whether an apply may restart the cluster for a setting")
    statement_timeout: Duration | None = per_env(None, description="for roles of kind app")
    pooler: Pooler = Field(default_factory=Pooler)

    @property
    def pooled(self) -> bool:
        """Whether services' connections meet a pooler, so that their sum may be above max_connections (DF-13)."""
        return self.pooler.enabled


def section(env: Environment) -> Section:
    """The environment's own section."""
    found = env.section("postgres")
    assert isinstance(found, Section)
    return found


def listeners(env: Environment, host: Host) -> list[Listener]:
    """The cluster's port, for hosts that run services with a pool, and for replicas."""
    postgres = section(env)
    if postgres.managed or not ROLES.intersection(host.roles):
        return []
    clients = {service.role for service in env.services.values() if service.pool > 0}
    if env.hosts_of("db_replica"):
        clients.add("db_replica")
    return [Listener(postgres.port, "postgres", "private", tuple(sorted(clients)), ("postgres", "port"))]


def connection_budget(env: Environment) -> int | None:
    """Connections that services may hold: max_connections less 3 reserved and 10 for people and tools (PT-11).

    None where a pooler makes the sum meaningless or somebody else runs the cluster.
    """
    postgres = section(env)
    return None if postgres.managed or postgres.pooled else postgres.max_connections - 3 - 10


def check(env: Environment) -> list[Problem]:
    """Names agree among databases and roles, and max_connections is said in one place."""
    postgres = section(env)
    problems = []
    if "max_connections" in postgres.settings:
        key = ("postgres", "settings", "max_connections")
        problems.append(env.problem(key, "a second place for it", "postgres.max_connections"))
    if not postgres.managed and not env.hosts_of("db"):
        problems.append(env.problem(("postgres", "managed"), "false and no host with role db", "such a host"))
    for name, database in postgres.databases.items():
        owner = postgres.roles.get(database.owner)
        if owner is None or owner.kind != "owner":
            key = ("postgres", "databases", name, "owner")
            problems.append(env.problem(key, repr(database.owner), "a role of kind owner"))
    for name, role in postgres.roles.items():
        for index, database_name in enumerate(role.databases):
            if database_name not in postgres.databases:
                key = ("postgres", "roles", name, "databases", index)
                problems.append(env.problem(key, repr(database_name), "one of postgres.databases"))
    return problems
