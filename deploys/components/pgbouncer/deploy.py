"""PgBouncer on its host: configuration and passwords as one step, then what is in effect."""

from __future__ import annotations

from pyinfra.api import deploy

from deploys.components.pgbouncer import files
from deploys.components.pgbouncer.model import UNIT, runs_on, section
from deploys.components.postgres.model import section as cluster
from deploys.operations import pgbouncer, units
from deploys.operations.files import installed
from mainstay import context
from mainstay.files import FileSet
from mainstay.inventory import Environment, Host


def needs(environment: Environment, member: Host) -> list[str]:
    """The packages that it installs on the host; psql speaks to its console."""
    major = cluster(environment).major
    return ["pgbouncer", f"postgresql-client-{major}"] if runs_on(environment, member) else []


def starts(environment: Environment, member: Host) -> list[str]:
    """The units that Debian starts with its packages; the second is of no use where there is no cluster."""
    return [UNIT, "postgresql.service"] if runs_on(environment, member) else []


@deploy("pgbouncer")
def apply() -> None:
    """Nothing on hosts of its roles that run no pooler."""
    env, host = context.current()
    if not runs_on(env, host):
        return
    leave = context.leave_to_restart("pgbouncer.allow_restart", section(env).allow_restart)
    restart = ["restart"] if leave[0] else []
    configuration = FileSet(
        files.files(env, host),
        check=pgbouncer.control("check"),
        activate=pgbouncer.control("activate", *restart),
        units=[UNIT],
    )
    installed(configuration, name="Configure PgBouncer")
    units.running([UNIT], name=f"Run {UNIT}")
    wanted, databases = files.settings(env, host), files.databases(env, host)
    pgbouncer.settled(wanted, databases, leave, name="Settle what PgBouncer has in effect")
