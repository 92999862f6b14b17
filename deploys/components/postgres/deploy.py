"""PostgreSQL on its host: the cluster, its configuration, then roles, databases and privileges."""

from __future__ import annotations

from pyinfra import host as target
from pyinfra.api import deploy

from deploys.components.postgres import files, grants
from deploys.components.postgres.model import CLUSTER, Section, section
from deploys.components.replication import grants as replication_grants
from deploys.components.replication import model as replication
from deploys.operations import internal_ca, postgres, units
from deploys.operations import replication as streaming
from deploys.operations.files import installed
from mainstay import context
from mainstay.files import FileSet
from mainstay.inventory import Environment, Host

META = "postgresql.service"


def needs(environment: Environment, member: Host) -> list[str]:
    """The packages that it installs on the host."""
    own = section(environment)
    return [] if own.managed else [f"postgresql-{own.major}"]


def starts(environment: Environment, member: Host) -> list[str]:
    """The units that Debian starts with its packages."""
    own = section(environment)
    return [] if own.managed else [own.unit, META]


@deploy("postgres")
def before_packages() -> None:
    """What Debian's package reads when it is installed."""
    if not section(context.current()[0]).managed:
        installed(FileSet([files.createcluster()]), name="Leave the making of the cluster to Mainstay")


@deploy("postgres")
def apply() -> None:
    """Nothing where somebody else runs the cluster: only the checks remain; replicas have a component of their own."""
    env, host = context.current()
    own = section(env)
    if own.managed or "db" not in host.roles:
        return
    _server(env, host, own)
    _contents(env, own)


def _server(env: Environment, host: Host, own: Section) -> None:
    major = own.major
    postgres.cluster(major, CLUSTER, own.port, name=f"Create the cluster {major}/{CLUSTER}")
    if replication.declared(env):
        secret, names = replication.section(env).ca, [host.name, host.address]
        internal_ca.certified(files.TLS, secret, names, own.unit, name="Certificate of the primary")
    leave = context.leave_to_restart("postgres.allow_restart", own.allow_restart)
    restart = ["restart"] if leave[0] else []
    configuration = FileSet(
        files.configuration(env, host),
        remove=files.left_behind(env),
        check=postgres.control(major, CLUSTER, "check"),
        activate=postgres.control(major, CLUSTER, "activate", *restart),
        units=[own.unit],
    )
    installed(configuration, name="Configure PostgreSQL")
    postgres.running(major, CLUSTER, own.unit, name=f"Run {own.unit}")
    # Debian's tools and package upgrades reach clusters through it; it has no process of its own.
    units.running([META], name=f"Run {META}")
    wanted = files.in_effect(env, host)
    paths = [managed.path for managed in configuration.files]
    postgres.settled(major, CLUSTER, wanted, leave, paths, name="Settle what PostgreSQL has in effect")


def _contents(env: Environment, own: Section) -> None:
    major, managed = own.major, grants.managed(own)
    roles = grants.roles(own) + replication_grants.roles(env)
    postgres.roles(major, CLUSTER, roles, name="Set up PostgreSQL roles")
    if replication.declared(env):
        slots = [replication.slot(host) for host in replication.replicas(env)]
        streaming.slots(major, CLUSTER, slots, replication.SLOTS, name="Set up slots for replicas")
    postgres.databases(major, CLUSTER, grants.databases(own), managed, name="Set up databases")
    # pyinfra tells repetitions of one line apart by the position that `loop` adds.
    for name, database in target.loop(own.databases.items()):
        schemas = grants.schemas(own, name)
        postgres.privileges(
            major,
            CLUSTER,
            name,
            schemas=schemas,
            extensions=database.extensions,
            managed=managed,
            name=f"Set up privileges in {name}",
        )
