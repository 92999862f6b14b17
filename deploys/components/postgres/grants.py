"""Roles by least privilege (DF-95): what each kind of role may do, as the operations take it."""

from __future__ import annotations

from deploys.components.postgres.model import Kind, Section
from deploys.operations.postgres_statements import WantedDatabase, WantedRole, WantedSchema

TABLES: dict[Kind, frozenset[str]] = {
    "app": frozenset({"SELECT", "INSERT", "UPDATE", "DELETE"}),
    "readonly": frozenset({"SELECT"}),
}
SEQUENCES: dict[Kind, frozenset[str]] = {
    "app": frozenset({"USAGE", "SELECT"}),
    "readonly": frozenset({"SELECT"}),
}
MEMBERSHIPS: dict[Kind, frozenset[str]] = {
    "backup": frozenset({"pg_read_all_data"}),
    "monitor": frozenset({"pg_monitor"}),
}


def managed(postgres: Section) -> frozenset[str]:
    """The roles whose privileges are the inventory's to decide."""
    return frozenset(postgres.roles)


def roles(postgres: Section) -> list[WantedRole]:
    """Every role of the section; each may log in, over the network only with a password and a line of pg_hba."""
    return [
        WantedRole(
            name=name,
            login=True,
            connection_limit=role.connection_limit or -1,
            config=role.timeouts(),
            member_of=MEMBERSHIPS.get(role.kind, frozenset()),
            secret=role.password,
        )
        for name, role in postgres.roles.items()
    ]


def databases(postgres: Section) -> list[WantedDatabase]:
    """Every database; PUBLIC may not connect, the roles that list it may."""
    return [
        WantedDatabase(
            name=name,
            owner=database.owner,
            connection_limit=database.connection_limit or -1,
            acl={role: frozenset({"CONNECT"}) for role in _roles_in(postgres, name) if role != database.owner},
        )
        for name, database in postgres.databases.items()
    ]


def schemas(postgres: Section, database: str) -> list[WantedSchema]:
    """`public`, where the owner creates and others use; and a schema of its own for each role that asks for one.

    A role finds its own schema first (`"$user", public`), so that its unqualified CREATE TABLE lands there while
    public stays the owner's.
    """
    own = [name for name in _roles_in(postgres, database) if postgres.roles[name].own_schema]
    # pg_database_owner is whoever owns the database: PostgreSQL 15's own way to say so.
    found = [_schema(postgres, database, "public", "pg_database_owner", postgres.databases[database].owner)]
    return found + [_schema(postgres, database, name, name, name) for name in own]


def _schema(postgres: Section, database: str, name: str, owner: str, creator: str) -> WantedSchema:
    # A role's own schema is read by others, never written.
    kinds: tuple[Kind, ...] = ("app", "readonly") if name == "public" else ("readonly",)
    users = {r: postgres.roles[r].kind for r in _roles_in(postgres, database) if postgres.roles[r].kind in kinds}
    users.pop(creator, None)
    return WantedSchema(
        name=name,
        owner=owner,
        creator=creator,
        acl={role: frozenset({"USAGE"}) for role in users},
        tables={role: TABLES[kind] for role, kind in users.items()},
        sequences={role: SEQUENCES[kind] for role, kind in users.items()},
    )


def _roles_in(postgres: Section, database: str) -> list[str]:
    return [name for name, role in postgres.roles.items() if database in role.databases]
