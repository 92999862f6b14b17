"""The `postgres` section: one cluster on the db host, its databases, and roles that may do what they need."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from deploys.components.postgres import tuning
from deploys.components.postgres.sizes import bytes_of, check_sizes
from deploys.components.postgres.upkeep import Index, Migrations, Sessions, Upkeep, check_upkeep
from mainstay.inventory import (
    Duration,
    Environment,
    Host,
    Identifier,
    Listener,
    MemoryShare,
    Port,
    Problem,
    Role,
    Scalar,
    SecretName,
    StrictModel,
    demands,
    per_env,
)

ROLES = frozenset({"db", "db_replica"})
CLUSTER = "main"
MAJOR_OF_DEBIAN = {12: 15, 13: 17}
"""The one major that each Debian release packages."""

RESERVED = 3 + 10
"""Connections that no service may count on: PostgreSQL's own for superusers, and ten for people and tools (PT-11)."""
RESERVE_SAID = "besides 3 reserved and 10 for people"

PRELOADED = ("pg_stat_statements",)
"""Extensions that see only what ran after a start with their library loaded (`shared_preload_libraries`)."""

OWNED_SETTINGS = frozenset(
    {
        "cluster_name",
        "config_file",
        "data_directory",
        "external_pid_file",
        "hba_file",
        "ident_file",
        "include",
        "include_dir",
        "include_if_exists",
        "listen_addresses",
        "password_encryption",
        "port",
        "unix_socket_directories",
    }
)
"""Settings that the component writes by itself, or that Debian's own tools rely on."""

Kind = Literal["owner", "app", "readonly", "backup", "monitor"]


class Database(StrictModel):
    """One database; its owner migrates it and nobody else changes its structure."""

    owner: Identifier
    extensions: list[Identifier] = Field(default_factory=list)
    connection_limit: int | None = per_env(None, ge=1, le=10000)


class RoleSpec(StrictModel):
    """One role of the cluster.

    `owner` owns the database and migrates; `app` reads and writes rows; `readonly` reads; `backup` reads everything;
    `monitor` reads what the server says of itself, and the system user `prometheus` logs in as it.
    """

    kind: Kind
    databases: list[Identifier] = Field(min_length=1)
    password: SecretName | None = Field(None, description="without one the role logs in on the host only, as root")
    from_roles: list[Role] | None = Field(
        None, description="whose hosts may log in; by default for kind app those of services with a pool, else none"
    )
    own_schema: bool = Field(False, description="a schema of the role's name that it may create tables in")
    connection_limit: int | None = per_env(None, ge=1, le=10000)
    idle_session_timeout: Duration | None = per_env(None, description="sessions idle for longer end (PT-17)")
    idle_in_transaction_session_timeout: Duration | None = per_env(None)
    statement_timeout: Duration | None = per_env(None)

    def timeouts(self) -> dict[str, str]:
        """What `ALTER ROLE ... SET` holds for the role, as PostgreSQL writes it (milliseconds)."""
        names = ("idle_session_timeout", "idle_in_transaction_session_timeout", "statement_timeout")
        values = {name: getattr(self, name) for name in names}
        return {name: f"{round(value * 1000)}ms" for name, value in values.items() if value is not None}


class Pooler(StrictModel):
    """A pooler of theirs in front of a cluster that somebody else runs; the section pgbouncer has our own."""

    enabled: bool = False
    port: Port = 6432


class Section(StrictModel):
    """The cluster."""

    managed: bool = Field(False, description="somebody else runs it: checks only, nothing is installed (CX-21)")
    major: Literal[15, 16, 17] = 15
    port: Port = 5432
    storage: Literal["ssd", "hdd"] = per_env("ssd", description="what random reads cost is computed from it (PT-05)")
    databases: dict[Identifier, Database] = Field(default_factory=dict)
    roles: dict[Identifier, RoleSpec] = Field(default_factory=dict)
    max_connections: int = per_env(100, ge=20, le=10000)
    settings: dict[Identifier, Scalar] = per_env(default_factory=dict, description="over what the host's size gives")
    allow_restart: bool = per_env(False, description="whether an apply may restart the cluster for a setting")
    pooler: Pooler = Field(default_factory=Pooler)
    sessions: Sessions = Field(default_factory=Sessions)
    upkeep: Upkeep = Field(default_factory=Upkeep)
    migrations: Migrations | None = None
    indexes: dict[Identifier, Index] = Field(default_factory=dict)

    @property
    def pooled(self) -> bool:
        """Whether services' connections meet a pooler, so that their sum may be above max_connections (DF-13)."""
        return self.pooler.enabled

    @property
    def unit(self) -> str:
        """The cluster's own unit; `postgresql.service` is active with every cluster down (TP-02)."""
        return f"postgresql@{self.major}-{CLUSTER}.service"


def preloaded(postgres: Section) -> list[str]:
    """The libraries that the databases' extensions need from the start."""
    listed = {extension for database in postgres.databases.values() for extension in database.extensions}
    return [name for name in PRELOADED if name in listed]


def section(env: Environment) -> Section:
    """The environment's own section."""
    return env.section("postgres", Section)


def client_roles(env: Environment, role: RoleSpec) -> list[Role]:
    """The inventory's roles whose hosts may log in as `role`."""
    if role.from_roles is not None:
        return role.from_roles
    if role.kind != "app":
        return []
    return sorted({service.role for service in env.services.values() if service.pool > 0})


def listeners(env: Environment, host: Host) -> list[Listener]:
    """The cluster's port, for the hosts that log in over the network, and for replicas."""
    postgres = section(env)
    if postgres.managed or not ROLES.intersection(host.roles):
        return []
    clients = {role for spec in postgres.roles.values() if spec.password for role in client_roles(env, spec)}
    if env.hosts_of("db_replica"):
        clients.add("db_replica")
    return [Listener(postgres.port, "postgres", "private", tuple(sorted(clients)), ("postgres", "port"))]


def memory(env: Environment, host: Host) -> list[MemoryShare]:
    """What a cluster takes for sure: its own cache. What it sorts and hashes in comes and goes with connections."""
    postgres = section(env)
    if postgres.managed or not ROLES.intersection(host.roles):
        return []
    own = bytes_of(postgres.settings, "shared_buffers")
    return [MemoryShare("postgres.shared_buffers", 1, own or tuning.shared_buffers(host.memory))]


def connection_budget(env: Environment) -> int | None:
    """Connections that services may hold: max_connections less 3 reserved and 10 for people and tools (PT-11).

    None where a pooler makes the sum meaningless or somebody else runs the cluster; pools of our own are held against
    max_connections by the component pgbouncer.
    """
    postgres = section(env)
    pooled = postgres.pooled or "pgbouncer" in env.sections
    return None if postgres.managed or pooled else postgres.max_connections - RESERVED


def _budget(env: Environment) -> list[Problem]:
    budget, shares = connection_budget(env), demands(env)
    if budget is None or sum(share.connections for share in shares) <= budget:
        return []
    expected = f"connections for {'; '.join(map(str, shares))}, {RESERVE_SAID}"
    found = f"{section(env).max_connections}, which leaves {budget}"
    return [env.problem(("postgres", "max_connections"), found, expected)]


def check(env: Environment) -> list[Problem]:
    """Names agree among databases and roles, Debian packages the major, and a value is said in one place."""
    postgres = section(env)
    problems = (
        _budget(env)
        + _check_pools(env)
        + _check_pooler(env, postgres)
        + _check_settings(env, postgres)
        + _check_hosts(env, postgres)
        + list(check_sizes(env, postgres.settings))
    )
    named = set(postgres.databases)
    problems += check_upkeep(env, postgres.sessions, named, postgres.indexes, postgres.migrations)
    for name, database in postgres.databases.items():
        owner = postgres.roles.get(database.owner)
        if owner is None or owner.kind != "owner" or name not in owner.databases:
            key = ("postgres", "databases", name, "owner")
            problems.append(env.problem(key, repr(database.owner), f"a role of kind owner that lists {name}"))
    for name, role in postgres.roles.items():
        problems += _check_role(env, postgres, name, role)
    return problems


def _check_pools(env: Environment) -> list[Problem]:
    """A service that is told where the database is and opens no connection: its hosts would not be let in."""
    return [
        env.problem(
            ("services", service.name, "pool"),
            "0",
            f"the connections that one worker opens: {name} is the address of {rule.address_of}",
        )
        for service in env.services.values()
        for name, rule in service.env_vars.items()
        if service.pool == 0 and rule.address_of in ROLES
    ]


def _check_pooler(env: Environment, postgres: Section) -> list[Problem]:
    if not postgres.pooler.enabled or postgres.managed:
        return []
    expected = (
        "false: the section pgbouncer installs one; this is for a cluster that somebody else runs (managed: true)"
    )
    return [env.problem(("postgres", "pooler", "enabled"), "true", expected)]


def _check_settings(env: Environment, postgres: Section) -> list[Problem]:
    problems = []
    for name in postgres.settings:
        key = ("postgres", "settings", name)
        if name == "max_connections":
            problems.append(env.problem(key, "a second place for it", "postgres.max_connections"))
        elif name in OWNED_SETTINGS:
            problems.append(env.problem(key, "a setting that the component writes itself", "it left out"))
        elif name == "shared_preload_libraries":
            problems += _check_preload(env, postgres, key)
    return problems


def _check_preload(env: Environment, postgres: Section, key: tuple[str | int, ...]) -> list[Problem]:
    value = str(postgres.settings["shared_preload_libraries"])
    missing = [name for name in preloaded(postgres) if name not in [part.strip() for part in value.split(",")]]
    expected = f"{', '.join(missing)} in it: a database lists that extension"
    return [env.problem(key, repr(value), expected)] if missing else []


def _check_hosts(env: Environment, postgres: Section) -> list[Problem]:
    if postgres.managed:
        return []
    hosts = env.hosts_of("db")
    if not hosts:
        return [env.problem(("postgres", "managed"), "false and no host with role db", "such a host")]
    problems = _check_one_primary(env, hosts)
    if env.hosts_of("db_replica") and "replication" not in env.sections:
        found = f"none, and {env.hosts_of('db_replica')[0].name} with role db_replica"
        expected = "a section replication: without one that host would be a database of its own (DF-15)"
        problems.append(env.problem(("replication",), found, expected))
    for host in [*hosts, *env.hosts_of("db_replica")]:
        packaged = MAJOR_OF_DEBIAN[host.debian]
        if packaged != postgres.major:
            found = f"{postgres.major} for {host.name}, which runs Debian {host.debian}"
            problems.append(env.problem(("postgres", "major"), found, f"{packaged}, the one that release packages"))
    return problems


def _check_one_primary(env: Environment, hosts: list[Host]) -> list[Problem]:
    """Services, replicas and poolers know the first host only: a second would be a database that nobody asks.

    Where nothing is told of any, each host has a database of its own.
    """
    used = any(service.pool > 0 or service.is_told("db") for service in env.services.values())
    if not used and not {"replication", "pgbouncer"}.intersection(env.sections):
        return []
    expected = "one primary; the others are replicas, role db_replica"
    return [
        env.problem(("hosts", host.name, "roles"), f"db, which {hosts[0].name} has", expected) for host in hosts[1:]
    ]


def _check_role(env: Environment, postgres: Section, name: str, role: RoleSpec) -> list[Problem]:
    key = ("postgres", "roles", name)
    problems = [
        env.problem((*key, "databases", index), repr(database), "one of postgres.databases")
        for index, database in enumerate(role.databases)
        if database not in postgres.databases
    ]
    if name == "postgres" or name.startswith("pg_"):
        problems.append(env.problem(key, f"the name {name!r}", "a name that PostgreSQL does not use itself (DF-95)"))
    if role.from_roles and role.password is None:
        problems.append(env.problem((*key, "from_roles"), "hosts but no password", "a password to log in with"))
    if (role.connection_limit or 0) > postgres.max_connections:
        expected = f"at most postgres.max_connections ({postgres.max_connections})"
        problems.append(env.problem((*key, "connection_limit"), str(role.connection_limit), expected))
    return problems
