"""A PostgreSQL cluster as it is: settings in effect, roles, databases, privileges. Nothing where none runs."""

# ruff: noqa: S608  the questions are put together from the model's identifiers, quoted, and from parts in this file

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar, cast

from pyinfra.api import FactBase
from typing_extensions import override

from facts.psql import query

T = TypeVar("T")


@dataclass(frozen=True)
class SettingState:
    """One row of pg_settings; `setting` counts in `unit`."""

    setting: str
    unit: str | None
    vartype: str
    context: str
    source: str
    pending_restart: bool


@dataclass(frozen=True)
class SettingsState:
    """The settings asked for, the file that has the last word on each, and what ALTER SYSTEM has set (TP-09)."""

    settings: dict[str, SettingState]
    altered: list[str]
    files: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class RoleState:
    """One role; `verifier` holds the salt and the iterations of its password, `verifier_digest` a SHA-256 of it all."""

    superuser: bool
    inherit: bool
    createrole: bool
    createdb: bool
    login: bool
    replication: bool
    bypassrls: bool
    connection_limit: int
    valid_until: str | None
    config: list[str]
    member_of: list[str]
    salt: str | None
    verifier_digest: str | None


@dataclass(frozen=True)
class DatabaseState:
    """One database; `acl` is grantee to privileges, PUBLIC as an empty name."""

    owner: str
    encoding: str
    connection_limit: int
    acl: dict[str, list[str]]


@dataclass(frozen=True)
class PrivilegesState:
    """What stands inside one database: schemas with owner and ACL, relations, default privileges, extensions.

    `relations` maps `schema.name` to its kind (`r` table, `S` sequence), owner and ACL; `defaults` maps
    `owner/schema/kind` to its ACL.
    """

    schemas: dict[str, dict[str, Any]] = field(default_factory=dict)
    relations: dict[str, dict[str, Any]] = field(default_factory=dict)
    defaults: dict[str, dict[str, list[str]]] = field(default_factory=dict)
    extensions: list[str] = field(default_factory=list)


def _names(names: list[str]) -> str:
    """An SQL array of names; they are identifiers by the inventory's model, and quoted all the same."""
    return "ARRAY[" + ", ".join("'" + name.replace("'", "''") + "'" for name in names) + "]::text[]"


def _acl(column: str) -> str:
    """An ACL as JSON: grantee to its privileges, those that may be granted on marked by `*`."""
    return (
        "(SELECT coalesce(json_object_agg(grantee, privileges), '{}') FROM (SELECT CASE a.grantee WHEN 0 THEN '' "
        "ELSE pg_get_userbyid(a.grantee) END AS grantee, json_agg(a.privilege_type || CASE WHEN a.is_grantable "
        f"THEN '*' ELSE '' END ORDER BY a.privilege_type) AS privileges FROM aclexplode({column}) a GROUP BY 1) AS x)"
    )


class JsonFact(FactBase[T], Generic[T]):
    """One line of JSON, or nothing where there is no server to ask."""

    @staticmethod
    @override
    def default() -> T:
        return cast(T, None)

    @override
    def process(self, output: list[str]) -> T:
        text = "".join(output).strip()
        return cast(T, None) if not text else self.parse(json.loads(text))

    @staticmethod
    def parse(data: Any) -> Any:
        """The fact's value from its JSON."""
        raise NotImplementedError


class ClusterExists(FactBase[bool]):
    """Whether `pg_createcluster` has made the cluster, running or not."""

    @override
    def command(self, major: int, cluster: str) -> str:  # type: ignore[override]
        return f"test -f /etc/postgresql/{major}/{cluster}/postgresql.conf && echo yes || true"

    @staticmethod
    @override
    def default() -> bool:
        return False

    @override
    def process(self, output: list[str]) -> bool:
        return "yes" in output


class PgSettings(JsonFact[SettingsState | None]):
    """The settings called `names` as they are in effect; None where no server runs."""

    @override
    def command(self, major: int, cluster: str, names: list[str]) -> str:  # type: ignore[override]
        return query(
            major,
            cluster,
            "postgres",
            f"""
            SELECT json_build_object('settings', (SELECT json_object_agg(lower(name), json_build_object(
                'setting', setting, 'unit', unit, 'vartype', vartype, 'context', context, 'source', source,
                'pending_restart', pending_restart)) FROM pg_settings
                WHERE lower(name) = ANY ({_names(names)})),
            'altered', (SELECT coalesce(json_agg(DISTINCT name ORDER BY name), '[]') FROM pg_file_settings
                WHERE sourcefile LIKE '%/postgresql.auto.conf'),
            'files', (SELECT coalesce(json_object_agg(name, sourcefile), '{{}}') FROM (SELECT DISTINCT ON (lower(name))
                lower(name) AS name, sourcefile FROM pg_file_settings WHERE lower(name) = ANY ({_names(names)})
                ORDER BY lower(name), seqno DESC) AS last))""",
        )

    @staticmethod
    @override
    def parse(data: Any) -> SettingsState:
        settings = {name: SettingState(**row) for name, row in (data["settings"] or {}).items()}
        return SettingsState(settings, data["altered"], data["files"])


class PgRoles(JsonFact[dict[str, RoleState] | None]):
    """Every role but PostgreSQL's own (`pg_...`) by name; None where no server runs.

    Of a password only salt, iterations and a digest leave the host.
    """

    @override
    def command(self, major: int, cluster: str) -> str:  # type: ignore[override]
        return query(
            major,
            cluster,
            "postgres",
            """
            SELECT coalesce(json_object_agg(r.rolname, json_build_object(
                'superuser', rolsuper, 'inherit', rolinherit, 'createrole', rolcreaterole, 'createdb', rolcreatedb,
                'login', rolcanlogin, 'replication', rolreplication, 'bypassrls', rolbypassrls,
                'connection_limit', rolconnlimit, 'valid_until', rolvaliduntil::text,
                'config', coalesce((SELECT to_json(setconfig) FROM pg_db_role_setting s
                    WHERE s.setrole = r.oid AND s.setdatabase = 0), '[]'),
                'member_of', coalesce((SELECT json_agg(g.rolname ORDER BY g.rolname) FROM pg_auth_members m
                    JOIN pg_roles g ON g.oid = m.roleid WHERE m.member = r.oid), '[]'),
                'salt', substring(rolpassword from '^(SCRAM-SHA-256[$][0-9]+:[^$]+)[$]'),
                'verifier_digest', encode(sha256(convert_to(rolpassword, 'UTF8')), 'hex'))), '{}')
            FROM pg_authid r WHERE rolname !~ '^pg_'""",
        )

    @staticmethod
    @override
    def parse(data: Any) -> dict[str, RoleState]:
        return {name: RoleState(**row) for name, row in data.items()}


class PgDatabases(JsonFact[dict[str, DatabaseState] | None]):
    """Every database by name, templates left out; None where no server runs."""

    @override
    def command(self, major: int, cluster: str) -> str:  # type: ignore[override]
        return query(
            major,
            cluster,
            "postgres",
            f"""
            SELECT coalesce(json_object_agg(datname, json_build_object('owner', pg_get_userbyid(datdba),
                'encoding', pg_encoding_to_char(encoding), 'connection_limit', datconnlimit,
                'acl', {_acl("coalesce(datacl, acldefault('d', datdba))")})), '{{}}')
            FROM pg_database WHERE NOT datistemplate""",
        )

    @staticmethod
    @override
    def parse(data: Any) -> dict[str, DatabaseState]:
        return {name: DatabaseState(**row) for name, row in data.items()}


class PgPrivileges(JsonFact[PrivilegesState | None]):
    """What roles may do inside one database; None where the server does not run or has no such database."""

    @override
    def command(self, major: int, cluster: str, database: str) -> str:  # type: ignore[override]
        schemas = "n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'"
        kind = "CASE c.relkind WHEN 'S' THEN 'S' ELSE 'r' END"
        relation_acl = _acl(f'coalesce(relacl, acldefault(({kind})::"char", relowner))')
        return query(
            major,
            cluster,
            database,
            f"""
            SELECT json_build_object(
            'schemas', (SELECT coalesce(json_object_agg(nspname, json_build_object('owner', pg_get_userbyid(nspowner),
                'acl', {_acl("coalesce(nspacl, acldefault('n', nspowner))")})), '{{}}')
                FROM pg_namespace n WHERE {schemas}),
            'relations', (SELECT coalesce(json_object_agg(n.nspname || '.' || c.relname, json_build_object(
                'kind', {kind}, 'owner', pg_get_userbyid(relowner),
                'acl', {relation_acl})), '{{}}')
                FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace
                WHERE {schemas} AND relkind IN ('r', 'p', 'v', 'm', 'f', 'S')
                AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.objid = c.oid AND d.deptype = 'e')),
            'defaults', (SELECT coalesce(json_object_agg(pg_get_userbyid(defaclrole) || '/' || coalesce(nspname, '')
                || '/' || defaclobjtype::text, {_acl("defaclacl")}), '{{}}')
                FROM pg_default_acl d LEFT JOIN pg_namespace n ON n.oid = defaclnamespace),
            'extensions', (SELECT coalesce(json_agg(extname ORDER BY extname), '[]') FROM pg_extension))""",
        )

    @staticmethod
    @override
    def parse(data: Any) -> PrivilegesState:
        return PrivilegesState(**data)
