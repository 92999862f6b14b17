"""Pure: the SQL that brings roles, databases and privileges from what they are to what they should be."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from facts.postgres import DatabaseState, PrivilegesState, RoleState

PUBLIC = ""
"""The grantee that stands for everybody, as the facts name it."""

Acl = Mapping[str, frozenset[str]]


@dataclass(frozen=True)
class Change:
    """One statement, and what the plan says of it; the text of a statement may hold a verifier and is never shown."""

    subject: str
    note: str
    sql: str


@dataclass(frozen=True)
class WantedRole:
    """A role as it should be; `secret` names its password, None for a role without one."""

    name: str
    login: bool
    connection_limit: int = -1
    config: Mapping[str, str] = field(default_factory=dict)
    member_of: frozenset[str] = frozenset()
    secret: str | None = None
    replication: bool = False


@dataclass(frozen=True)
class WantedDatabase:
    """A database as it should be, without its inside; `acl` counts for PUBLIC and for the roles that are managed."""

    name: str
    owner: str
    connection_limit: int = -1
    acl: Acl = field(default_factory=dict)


@dataclass(frozen=True)
class WantedSchema:
    """A schema and what everything in it should grant: `tables` and `sequences` now, and by default to come."""

    name: str
    owner: str
    creator: str
    acl: Acl = field(default_factory=dict)
    tables: Acl = field(default_factory=dict)
    sequences: Acl = field(default_factory=dict)


def identifier(name: str) -> str:
    """The name, quoted."""
    return '"' + name.replace('"', '""') + '"'


def literal(text: str) -> str:
    """The text as an SQL string; a backslash would need another kind of string and stands in none of ours."""
    return "'" + text.replace("'", "''") + "'"


def role_changes(wanted: WantedRole, state: RoleState | None, verifier: str | None) -> Iterator[Change]:
    """Creates the role, or alters what differs; attributes that nobody asked for are taken away.

    Args:
        wanted: the role.
        state: as it is, None when it is not there.
        verifier: the SCRAM verifier to set, None where the role's password is right or it has none.
    """
    name, role = wanted.name, identifier(wanted.name)
    if state is None:
        yield Change(name, "create the role", f"CREATE ROLE {role};")
        state = _NEW_ROLE
    attributes = [(note, sql) for is_so, note, sql in _attributes(wanted, state) if is_so]
    if attributes:
        words = " ".join(sql for _, sql in attributes)
        yield Change(name, ", ".join(note for note, _ in attributes), f"ALTER ROLE {role} {words};")
    if verifier is not None:
        note = "set the password (not shown)" if state.verifier_digest is None else "the password differs (not shown)"
        yield Change(name, note, f"ALTER ROLE {role} PASSWORD {literal(verifier)};")
    elif wanted.secret is None and state.verifier_digest is not None:
        yield Change(name, "take away its password", f"ALTER ROLE {role} PASSWORD NULL;")
    yield from _config_changes(wanted, state)
    for group in sorted(wanted.member_of - set(state.member_of)):
        yield Change(name, f"grant membership of {group}", f"GRANT {identifier(group)} TO {role};")
    for group in sorted(set(state.member_of) - wanted.member_of):
        yield Change(name, f"revoke membership of {group}", f"REVOKE {identifier(group)} FROM {role};")


_NEW_ROLE = RoleState(False, True, False, False, False, False, False, -1, None, [], [], None, None)


def _attributes(wanted: WantedRole, state: RoleState) -> Iterator[tuple[bool, str, str]]:
    """Whether each attribute differs, what the plan says, and the word for ALTER ROLE."""
    for found, word in (
        (state.superuser, "SUPERUSER"),
        (state.createrole, "CREATEROLE"),
        (state.createdb, "CREATEDB"),
        (state.bypassrls, "BYPASSRLS"),
    ):
        yield found, f"{word} -> NO{word}", f"NO{word}"
    word = "REPLICATION" if wanted.replication else "NOREPLICATION"
    yield state.replication != wanted.replication, f"set {word}", word
    yield not state.inherit, "NOINHERIT -> INHERIT", "INHERIT"
    login = "LOGIN" if wanted.login else "NOLOGIN"
    yield state.login != wanted.login, f"set {login}", login
    limit = wanted.connection_limit
    different = state.connection_limit != limit
    yield different, f"CONNECTION LIMIT {state.connection_limit} -> {limit}", f"CONNECTION LIMIT {limit}"
    forever = state.valid_until in (None, "infinity")
    yield not forever, f"VALID UNTIL {state.valid_until} -> infinity", "VALID UNTIL 'infinity'"


def _config_changes(wanted: WantedRole, state: RoleState) -> Iterator[Change]:
    role = identifier(wanted.name)
    found = dict(entry.split("=", 1) for entry in state.config)
    for name, value in sorted(wanted.config.items()):
        if found.get(name) != value:
            note = f"{name} {found.get(name, 'unset')} -> {value}"
            yield Change(wanted.name, note, f"ALTER ROLE {role} SET {identifier(name)} = {literal(value)};")
    for name in sorted(found.keys() - wanted.config.keys()):
        yield Change(wanted.name, f"{name} {found[name]} -> unset", f"ALTER ROLE {role} RESET {identifier(name)};")


def database_changes(wanted: WantedDatabase, state: DatabaseState | None, managed: frozenset[str]) -> Iterator[Change]:
    """Creates the database, or alters owner, connection limit and who may connect.

    Args:
        wanted: the database.
        state: as it is, None when it is not there.
        managed: the roles whose grants are ours to decide; grants to others are left alone.
    """
    name, database = wanted.name, identifier(wanted.name)
    if state is None:
        owner = identifier(wanted.owner)
        # template0, so that nothing that somebody left in template1 comes along.
        create = f"CREATE DATABASE {database} OWNER {owner} TEMPLATE template0 ENCODING 'UTF8' LOCALE 'C.UTF-8';"
        yield Change(name, f"create the database, owner {wanted.owner}", create)
        all_of_it = ["CONNECT", "CREATE", "TEMPORARY"]
        state = DatabaseState(wanted.owner, "UTF8", -1, {PUBLIC: ["CONNECT", "TEMPORARY"], wanted.owner: all_of_it})
    if state.owner != wanted.owner:
        statement = f"ALTER DATABASE {database} OWNER TO {identifier(wanted.owner)};"
        yield Change(name, f"owner {state.owner} -> {wanted.owner}", statement)
    if state.connection_limit != wanted.connection_limit:
        note = f"CONNECTION LIMIT {state.connection_limit} -> {wanted.connection_limit}"
        yield Change(name, note, f"ALTER DATABASE {database} CONNECTION LIMIT {wanted.connection_limit};")
    yield from acl_changes(f"DATABASE {database}", name, wanted.acl, state.acl, managed - {wanted.owner})


def privilege_changes(
    schemas: list[WantedSchema], extensions: list[str], state: PrivilegesState | None, managed: frozenset[str]
) -> Iterator[Change]:
    """What makes the inside of one database right: extensions, schemas, what stands in them, what will stand there."""
    state = state or PrivilegesState()
    for extension in extensions:
        if extension not in state.extensions:
            yield Change(extension, "create the extension", f"CREATE EXTENSION {identifier(extension)};")
    for wanted in schemas:
        yield from _schema_changes(wanted, state, managed - {wanted.owner, wanted.creator})


def _schema_changes(wanted: WantedSchema, state: PrivilegesState, managed: frozenset[str]) -> Iterator[Change]:
    name, schema = f"schema {wanted.name}", identifier(wanted.name)
    found = state.schemas.get(wanted.name)
    if found is None and wanted.name != "public":
        sql = f"CREATE SCHEMA {schema} AUTHORIZATION {identifier(wanted.owner)};"
        yield Change(name, f"create, owner {wanted.owner}", sql)
    # A new database has PostgreSQL's own public schema.
    found = found or {"owner": wanted.owner, "acl": {PUBLIC: ["USAGE"]} if wanted.name == "public" else {}}
    if found["owner"] != wanted.owner:
        sql = f"ALTER SCHEMA {schema} OWNER TO {identifier(wanted.owner)};"
        yield Change(name, f"owner {found['owner']} -> {wanted.owner}", sql)
    yield from acl_changes(f"SCHEMA {schema}", name, wanted.acl, found["acl"], managed)
    for full_name, relation in sorted(state.relations.items()):
        if full_name.startswith(f"{wanted.name}."):
            what = "SEQUENCE" if relation["kind"] == "S" else "TABLE"
            acl = wanted.sequences if what == "SEQUENCE" else wanted.tables
            path = f"{schema}.{identifier(full_name.removeprefix(f'{wanted.name}.'))}"
            ours = managed - {relation["owner"]}
            yield from acl_changes(f"{what} {path}", full_name, acl, relation["acl"], ours)
    for kind, what, acl in (("r", "TABLES", wanted.tables), ("S", "SEQUENCES", wanted.sequences)):
        prefix = f"ALTER DEFAULT PRIVILEGES FOR ROLE {identifier(wanted.creator)} IN SCHEMA {schema} "
        was = state.defaults.get(f"{wanted.creator}/{wanted.name}/{kind}", {})
        subject = f"new {what.lower()} of {wanted.creator} in {wanted.name}"
        yield from acl_changes(what, subject, acl, was, managed, prefix=prefix)


def acl_changes(
    target: str, subject: str, wanted: Acl, found: Mapping[str, list[str]], managed: frozenset[str], *, prefix: str = ""
) -> Iterator[Change]:
    """GRANT and REVOKE for PUBLIC and the managed roles; `SELECT*` is SELECT with the right to pass it on."""
    for grantee in sorted({PUBLIC, *managed}):
        want, have = wanted.get(grantee, frozenset()), frozenset(found.get(grantee, []))
        whom = identifier(grantee) if grantee else "PUBLIC"
        extra = sorted({privilege.rstrip("*") for privilege in have - want})
        if extra:
            privileges = ", ".join(extra)
            sql = f"{prefix}REVOKE {privileges} ON {target} FROM {whom};"
            yield Change(subject, f"revoke {privileges} from {grantee or 'PUBLIC'}", sql)
        missing = sorted(want - have)
        if missing:
            privileges = ", ".join(missing)
            yield Change(
                subject, f"grant {privileges} to {grantee}", f"{prefix}GRANT {privileges} ON {target} TO {whom};"
            )
