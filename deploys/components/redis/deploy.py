"""Redis on its host: configuration and users as one step, then what is in effect."""

from __future__ import annotations

from pyinfra.api import deploy

from deploys.components.redis import files
from deploys.components.redis.model import UNIT, section
from deploys.operations import redis, units
from deploys.operations.files import installed
from mainstay import context
from mainstay.files import FileSet
from mainstay.inventory import Environment, Host


def needs(environment: Environment, member: Host) -> list[str]:
    """The packages that it installs on the host."""
    return [] if section(environment).managed else ["redis-server"]


def starts(environment: Environment, member: Host) -> list[str]:
    """The units that Debian starts with its packages."""
    return [] if section(environment).managed else [UNIT]


@deploy("redis")
def apply() -> None:
    """Nothing where somebody else runs the server: only the checks remain."""
    env, host = context.current()
    own = section(env)
    if own.managed:
        return
    restart = ["restart"] if own.allow_restart else []
    configuration = FileSet(
        files.files(env, host),
        check=redis.control("check"),
        activate=redis.control("activate", *restart),
        units=[UNIT],
    )
    installed(configuration, name="Configure Redis")
    units.running([UNIT], name=f"Run {UNIT}")
    redis.settled(files.settings(own, host), files.USERS, own.allow_restart, name="Settle what Redis has in effect")
