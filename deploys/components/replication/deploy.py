"""A replica on its host: the cluster's place, its configuration, then its data from the primary.

It comes after everything that releases stand on: by then the primary has its role, its slots and its certificate, where
both are brought up side by side. What the primary needs for its replicas is the component postgres's to make.
"""

from __future__ import annotations

from pyinfra.api import deploy

from deploys.components.postgres import files as cluster_files
from deploys.components.postgres.deploy import META
from deploys.components.postgres.model import CLUSTER
from deploys.components.postgres.model import section as cluster
from deploys.components.replication import files, model
from deploys.operations import internal_ca, postgres, replication, units
from deploys.operations.files import installed
from mainstay import context
from mainstay.files import FileSet
from mainstay.inventory import Environment, Host


@deploy("replication")
def ahead() -> None:
    """What a replica may not have less of than its primary is raised here first (RP-05); the primary waits for it."""
    env, host = context.current()
    if not model.declared(env) or "db_replica" not in host.roles:
        return
    leave, configuration = _configured(env, host)
    wanted, major = files.no_less(env, host), cluster(env).major
    replication.raised(major, CLUSTER, wanted, leave, configuration, name="Raise ahead of the primary")


@deploy("replication")
def apply() -> None:
    """Nothing on the primary."""
    env, host = context.current()
    if not model.declared(env) or "db_replica" not in host.roles:
        return
    own = cluster(env)
    major, names = own.major, [host.name, host.address]
    leave, configuration = _configured(env, host)
    postgres.cluster(major, CLUSTER, own.port, name=f"Create the cluster {major}/{CLUSTER}")
    internal_ca.certified(cluster_files.TLS, model.section(env).ca, names, own.unit, name="Certificate of the replica")
    installed(configuration, name="Configure the replica")
    primary = model.primary(env)
    replication.built(major, CLUSTER, own.unit, primary.name, name=f"Follow {primary.name}")
    postgres.running(major, CLUSTER, own.unit, name=f"Run {own.unit}")
    units.running([META], name=f"Run {META}")
    wanted, paths = cluster_files.in_effect(env, host), [managed.path for managed in configuration.files]
    postgres.settled(major, CLUSTER, wanted, leave, paths, name="Settle what the replica has in effect")


def _configured(env: Environment, host: Host) -> tuple[tuple[str, str], FileSet]:
    """Whether it may be restarted (`context.leave_to_restart`), and its files, with what activates them."""
    own = cluster(env)
    leave = context.leave_to_restart("postgres.allow_restart", own.allow_restart)
    restart = ["restart"] if leave[0] else []
    configuration = FileSet(
        files.files(env, host),
        check=postgres.control(own.major, CLUSTER, "check"),
        activate=replication.control(own.major, CLUSTER, "activate", *restart),
        units=[own.unit],
    )
    return leave, configuration
