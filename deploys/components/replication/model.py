"""The `replication` section: replicas that follow the cluster of the db host."""

from __future__ import annotations

from pydantic import Field

from deploys.components.postgres import model as cluster
from mainstay.inventory import (
    Duration,
    Environment,
    Host,
    Identifier,
    Problem,
    SecretName,
    StrictModel,
    per_env,
)

ROLES = frozenset({"db", "db_replica"})
SLOTS = "replica_"
"""How the names of slots begin that are Mainstay's to make and to drop."""

NO_LESS = (
    "max_connections",
    "max_worker_processes",
    "max_wal_senders",
    "max_prepared_transactions",
    "max_locks_per_transaction",
)
"""What a replica may not have less of than its primary (RP-05): it would stop following, and not start."""


class Section(StrictModel):
    """How replicas follow; which hosts are replicas is their role's to say (`db_replica`)."""

    user: Identifier = Field("replicator", description="the role by which replicas log in, for this and nothing else")
    password: SecretName = Field("PG_REPLICATION_PASSWORD", description="of that role")
    ca: SecretName = Field("PG_CA", description="what the internal CA is made from; any 32 random bytes")
    max_lag: Duration = per_env("10s", validate_default=True, description="a replica further behind fails its check")


def section(env: Environment) -> Section:
    """The environment's own section."""
    return env.section("replication", Section)


def declared(env: Environment) -> bool:
    """Whether the inventory has the section, and the cluster is Mainstay's own."""
    return "replication" in env.sections and "postgres" in env.sections and not cluster.section(env).managed


def primary(env: Environment) -> Host:
    """The host that is written to."""
    return env.hosts_of("db")[0]


def replicas(env: Environment) -> list[Host]:
    """The hosts that follow it."""
    return env.hosts_of("db_replica")


def slot(host: Host) -> str:
    """The name of the replica's slot on its primary."""
    return SLOTS + host.name.replace("-", "_")


def check(env: Environment) -> list[Problem]:
    """Replicas beside the primary (of which there is one) and not on it, and a role of its own."""
    if "postgres" not in env.sections or cluster.section(env).managed:
        expected = "a cluster of Mainstay's own (postgres, with managed: false)"
        return [env.problem(("replication",), "replication without a cluster", expected)]
    problems = [
        env.problem(("hosts", host.name, "roles"), "db and db_replica", "one of them: a replica is another host")
        for host in replicas(env)
        if "db" in host.roles
    ]
    own, key = section(env), ("replication", "user")
    if own.user in cluster.section(env).roles:
        problems.append(env.problem(key, f"{own.user}, which postgres.roles has", "a role of its own"))
    if own.user == "postgres" or own.user.startswith("pg_"):
        problems.append(env.problem(key, repr(own.user), "a name that PostgreSQL does not use itself (DF-14)"))
    return problems
