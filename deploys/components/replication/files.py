"""The files of a replica: its cluster's own, as the primary has them, and by what it follows."""

from __future__ import annotations

from deploys.components.postgres import files as cluster_files
from deploys.components.postgres.model import CLUSTER
from deploys.components.postgres.model import section as cluster
from deploys.components.replication.model import NO_LESS, declared, section
from mainstay.files import ManagedFile
from mainstay.inventory import Environment, Host
from mainstay.render import render


def no_less(env: Environment, host: Host) -> dict[str, str]:
    """Of the settings that the component writes, those that a replica may not have less of than its primary."""
    return {name: value for name, value in cluster_files.in_effect(env, host).items() if name in NO_LESS}


def files(env: Environment, host: Host) -> list[ManagedFile]:
    """What `mainstay render` prints; the primary's are those of postgres."""
    if not declared(env) or "db_replica" not in host.roles:
        return []
    own, major = section(env), cluster(env).major
    password = render("replication/pgpass.j2", user=own.user, password=env.secrets.get(own.password))
    path = cluster_files.passfile(major, CLUSTER)
    return [
        *cluster_files.configuration(env, host),
        ManagedFile(path, password, "postgres", "postgres", 0o600),
    ]
