"""The `pgbouncer` section: pools in front of the cluster, as large as its connections allow (DF-13)."""

from __future__ import annotations

import re
from typing import Literal

from pydantic import Field

from deploys.components.postgres import model as cluster
from mainstay.inventory import (
    Demand,
    Environment,
    Host,
    Identifier,
    Listener,
    Name,
    Port,
    Problem,
    Service,
    StrictModel,
    demands,
    per_env,
)

ROLES = frozenset({"db", "app"})
UNIT = "pgbouncer.service"
SPARE_CLIENTS = 20
"""Clients beyond those that services may open: people, checks, a service that starts twice."""
DIRECT_SAID = "or the service in pgbouncer.direct"


class Section(StrictModel):
    """The poolers."""

    role: Literal["db", "app"] = Field("db", description="whose hosts run one: beside the cluster, or beside services")
    port: Port = 6432
    mode: Literal["transaction", "session"] = Field("transaction", description="when a server connection is given back")
    direct: list[Name] = Field(default_factory=list, description="services that log in to PostgreSQL itself (TP-05)")
    pool_sizes: dict[Identifier, int] = per_env(
        default_factory=dict, description="server connections of each pooler to a database, over an equal share"
    )
    max_clients: int | None = per_env(
        None, ge=10, le=20000, description="of each pooler; by default what services open"
    )
    allow_restart: bool = per_env(False, description="whether an apply may restart poolers for a setting")


def section(env: Environment) -> Section:
    """The environment's own section."""
    return env.section("pgbouncer", Section)


def poolers(env: Environment) -> list[Host]:
    """The hosts that run one."""
    return env.hosts_of(section(env).role)


def runs_on(env: Environment, host: Host) -> bool:
    """Whether the host runs one."""
    return section(env).role in host.roles


def users(env: Environment) -> dict[str, cluster.RoleSpec]:
    """The cluster's roles that log in through poolers: those of services."""
    roles = cluster.section(env).roles
    return {name: role for name, role in roles.items() if role.kind == "app" and role.password is not None}


def databases(env: Environment) -> list[str]:
    """The databases that poolers lead to, in the inventory's order."""
    used = {database for role in users(env).values() for database in role.databases}
    return [name for name in cluster.section(env).databases if name in used]


def budget(env: Environment) -> int:
    """Server connections that all poolers may hold: PostgreSQL's, less the reserve and those of direct services."""
    own = section(env)
    taken = sum(demand.connections for demand in demands(env) if demand.service in own.direct)
    return cluster.section(env).max_connections - cluster.RESERVED - taken


def pool_sizes(env: Environment) -> dict[str, int]:
    """Server connections of one pooler, by database: the inventory's own, and an equal share of what is left."""
    own, names = section(env), databases(env)
    each = budget(env) // max(len(poolers(env)), 1)
    given = {name: size for name, size in own.pool_sizes.items() if name in names}
    shares = [name for name in names if name not in given]
    share = (each - sum(given.values())) // len(shares) if shares else 0
    return {name: given.get(name, share) for name in names}


def clients(env: Environment, host: Host) -> list[Demand]:
    """What services may open to the pooler of the host: all of them on a db host, its own on an app host."""
    own = section(env)
    found = [demand for demand in demands(env) if demand.service not in own.direct]
    if own.role == "db":
        return found
    mine = {service.name for service in env.services_on(host)}
    return [Demand(d.service, 1, d.instances, d.workers, d.pool) for d in found if d.service in mine]


def max_clients(env: Environment, host: Host) -> int:
    """Clients that the pooler of the host takes at once."""
    own = section(env).max_clients
    return own if own is not None else sum(demand.connections for demand in clients(env, host)) + SPARE_CLIENTS


def listeners(env: Environment, host: Host) -> list[Listener]:
    """The pooler's port: for the hosts of services where it stands beside the cluster, else for its own host."""
    own = section(env)
    if not runs_on(env, host):
        return []
    key = ("pgbouncer", "port")
    if own.role == "app":
        return [Listener(own.port, "pgbouncer", "loopback", key=key)]
    roles = {role for spec in users(env).values() for role in cluster.client_roles(env, spec)}
    return [Listener(own.port, "pgbouncer", "private", tuple(sorted(roles)), key)]


def check(env: Environment) -> list[Problem]:
    """There is a cluster to lead to, names are known, and pools and clients fit what they meet."""
    if "postgres" not in env.sections or cluster.section(env).managed:
        expected = "a cluster of Mainstay's own (postgres, with managed: false)"
        return [env.problem(("pgbouncer",), "a pooler without a cluster", expected)]
    problems = [*_check_names(env), *_check_limits(env), *_check_ways(env), *_check_reach(env)]
    if not poolers(env):
        found = f"{section(env).role}, which no host of {env.name} holds"
        return [*problems, env.problem(("pgbouncer", "role"), found, "a role that a host holds")]
    return problems or [*_check_budget(env), *_check_clients(env)]


def _check_names(env: Environment) -> list[Problem]:
    own = section(env)
    pooled = databases(env)
    problems = [
        env.problem(("pgbouncer", "direct", index), repr(name), "a service")
        for index, name in enumerate(own.direct)
        if name not in env.services
    ]
    problems += [
        env.problem(("pgbouncer", "pool_sizes", name), repr(name), "a database that a role of kind app lists")
        for name in own.pool_sizes
        if name not in pooled
    ]
    if not pooled:
        expected = "a role of postgres.roles with kind app and a password"
        problems.append(env.problem(("pgbouncer",), "a pooler for nobody", expected))
    return problems


def _check_ways(env: Environment) -> list[Problem]:
    """A service that is not direct is told of the pooler: past it, all that it may open would meet PostgreSQL."""
    return [problem for service in _pooled(env) for problem in (*_addresses(env, service), *_ports(env, service))]


def _pooled(env: Environment) -> list[Service]:
    return [s for s in env.services.values() if s.pool > 0 and s.name not in section(env).direct]


def _addresses(env: Environment, service: Service) -> list[Problem]:
    """Beside services, none is told where the db host is."""
    expected = f"the value 127.0.0.1: each host of role app has its pooler, {DIRECT_SAID}"
    return [
        env.problem(("services", service.name, "env_vars", name, "address_of"), repr(rule.address_of), expected)
        for name, rule in service.env_vars.items()
        if rule.address_of == "db" and section(env).role == "app"
    ]


def _ports(env: Environment, service: Service) -> list[Problem]:
    """The port that goes with the db host's address is the pooler's, and PostgreSQL's own stands nowhere else."""
    ours, theirs = str(section(env).port), str(cluster.section(env).port)
    given = {name: str(rule.value) for name, rule in service.env_vars.items() if rule.value is not None}
    roles = {_port_of(name): rule.address_of for name, rule in service.env_vars.items() if rule.address_of}
    straight = {name for name, rule in service.env_vars.items() if rule.type == "port" and given.get(name) == theirs}
    # Beside the cluster a port that is not said at all is the driver's default, PostgreSQL's.
    led = {name for name, role in roles.items() if role == "db"} if section(env).role == "db" else set()
    asked = led | {name for name in straight if roles.get(name, "db") == "db"}
    return [
        env.problem(
            ("services", service.name, "env_vars", name, *(["value"] if name in given else [])),
            given.get(name, "nothing"),
            f"{ours}, as pgbouncer.port, {DIRECT_SAID}",
        )
        for name in sorted(asked)
        if given.get(name) != ours
    ]


def _port_of(name: str) -> str:
    """The variable that goes with an address, by its name: PGPORT with PGHOST, DB_PORT with DB_ADDRESS or DB."""
    found = re.fullmatch(r"(.*?)(HOST|HOSTNAME|ADDR|ADDRESS)", name)
    return f"{found[1]}PORT" if found else f"{name}_PORT"


def _check_reach(env: Environment) -> list[Problem]:
    """Beside services, a pooler runs on each host of each service that meets one."""
    problems = []
    for service in _pooled(env) if section(env).role == "app" else []:
        without = [host.name for host in env.hosts_of(service.role) if not runs_on(env, host)]
        if without:
            found = f"app, and {', '.join(without)} runs {service.name} and no pooler"
            expected = f"db, or {service.name} in pgbouncer.direct"
            problems.append(env.problem(("pgbouncer", "role"), found, expected))
    return problems


def _check_limits(env: Environment) -> list[Problem]:
    return [
        env.problem(("pgbouncer", "pool_sizes", name), str(size), "one connection at least")
        for name, size in section(env).pool_sizes.items()
        if size < 1
    ]


def _check_budget(env: Environment) -> list[Problem]:
    """Every pooler's pools together, beside direct services, fit what PostgreSQL has for them (DF-13)."""
    sizes, count, most = pool_sizes(env), len(poolers(env)), budget(env)
    total = count * sum(sizes.values())
    if min(sizes.values()) < 1 or total > most:
        given = section(env).pool_sizes
        said = {name: f"{size}" if name in given else "a share, 1 at least" for name, size in sizes.items()}
        pools = " + ".join(f"{name} {size}" for name, size in said.items())
        direct = [str(demand) for demand in demands(env) if demand.service in section(env).direct]
        found = f"{cluster.section(env).max_connections}, which leaves {most} for pools"
        shares = [f"{count} pooler{'s' if count > 1 else ''} x ({pools})", *direct]
        expected = f"connections for {'; '.join(shares)}, {cluster.RESERVE_SAID}"
        return [env.problem(("postgres", "max_connections"), found, expected)]
    return [
        env.problem(
            ("postgres", "roles", name, "connection_limit"), str(limit), f"{need}, what its pools hold, at least"
        )
        for name, role in users(env).items()
        if (limit := role.connection_limit) is not None
        and limit < (need := count * sum(sizes.get(database, 0) for database in role.databases))
    ]


def _check_clients(env: Environment) -> list[Problem]:
    problems = []
    for host in poolers(env):
        wanted = clients(env, host)
        if sum(demand.connections for demand in wanted) > max_clients(env, host):
            expected = f"clients for {'; '.join(map(str, wanted))} on {host.name}"
            problems.append(env.problem(("pgbouncer", "max_clients"), str(max_clients(env, host)), expected))
    return problems
