"""ScyllaDB on its node: where packages come from, configuration, the node in its cluster, then the schema."""

from __future__ import annotations

from pyinfra.api import deploy

from deploys.components.scylla import files, sizing
from deploys.components.scylla.section import REPAIR_UNIT, UNIT, Section, section
from deploys.operations import packages, scylla, units
from deploys.operations.files import installed
from mainstay import context
from mainstay.errors import UsageError
from mainstay.files import FileSet
from mainstay.inventory import Environment, Host

OWN_SOURCE = True
"""apt does not know these packages until `before_packages` has told it where they are."""


def needs(environment: Environment, member: Host) -> list[str]:
    """The packages that it installs on the host.

    Raises:
        UsageError: nobody said where they come from.
    """
    _require_source(section(environment))
    return list(files.PACKAGES)


def starts(environment: Environment, member: Host) -> list[str]:
    """The units that its packages start by themselves."""
    return [UNIT]


def _require_source(own: Section) -> None:
    if own.source is None:
        raise UsageError(
            "scylla.source: found none, expected an apt source with its key: no release of Debian has ScyllaDB "
            "(docs/components/scylla.md)"
        )


@deploy("scylla")
def before_packages() -> None:
    """Where apt finds them; its lists are fetched anew once that has changed."""
    env, _ = context.current()
    _require_source(section(env))
    sources = FileSet(files.source(env), activate=f"rm -f {packages.STAMP}")
    installed(sources, name="Where ScyllaDB's packages come from")


@deploy("scylla")
def apply() -> None:
    """The schema is the last node's to settle: by then all others have joined."""
    env, host = context.current()
    own, nodes = section(env), sizing.nodes(env)
    scylla.versioned(own.version, name="ScyllaDB's version")
    configuration = FileSet(
        [*files.configuration(env, host), *files.upkeep(env, host)],
        check=scylla.control("check"),
        activate=scylla.control("activate"),
        units=[UNIT, f"{REPAIR_UNIT}.timer"],
    )
    installed(configuration, name="Configure ScyllaDB")
    scylla.measured(name="Measure the disk for ScyllaDB")
    scylla.joined(len(nodes), name=f"Run {UNIT}")
    scylla.settled(context.leave_to_restart("scylla.allow_restart", own.allow_restart), name="Settle ScyllaDB's files")
    scylla.administered(name="ScyllaDB's superuser")
    if host.name == nodes[-1].name:
        scylla.defined(own, name="ScyllaDB's keyspaces and roles")
    units.running([f"{REPAIR_UNIT}.timer"], name="Run the timer that repairs ScyllaDB")
