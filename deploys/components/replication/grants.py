"""The role by which replicas log in, as the operations take it."""

from __future__ import annotations

from deploys.components.replication.model import declared, section
from deploys.operations.postgres_statements import WantedRole
from mainstay.inventory import Environment


def roles(env: Environment) -> list[WantedRole]:
    """That one role; none where there is no replication."""
    if not declared(env):
        return []
    own = section(env)
    return [WantedRole(own.user, login=True, secret=own.password, replication=True)]
