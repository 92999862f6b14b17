"""PostgreSQL's operations against fixed facts: what they run, and the statements that they send."""

from __future__ import annotations

import hashlib
from typing import Any

import pytest

from deploys.components.postgres import grants
from deploys.components.postgres.model import section
from deploys.operations import postgres
from deploys.operations.scram import verifier
from facts.postgres import ClusterExists, PgDatabases, PgPrivileges, PgRoles, PgSettings, PrivilegesState, RoleState
from mainstay.errors import SecretError
from mainstay.inventory import Environment, Host
from tests.plan.harness import Planned, plan

APP = "everydayai_app"


def roles_as_wanted(env: Environment, **changed: dict[str, Any]) -> dict[str, RoleState]:
    """The fact where every role is right, but for `changed`."""
    rows: dict[str, dict[str, Any]] = {}
    for role in grants.roles(section(env)):
        made = verifier(env.secrets.get(role.secret).reveal()) if role.secret else None
        rows[role.name] = {
            "superuser": False, "inherit": True, "createrole": False, "createdb": False, "login": role.login,
            "replication": False, "bypassrls": False, "connection_limit": role.connection_limit, "valid_until": None,
            "config": [f"{k}={v}" for k, v in role.config.items()], "member_of": sorted(role.member_of),
            "salt": made.rpartition("$")[0] if made else None, "verifier_digest": _digest(made),
        }  # fmt: skip
        rows[role.name].update(changed.get(role.name, {}))
    return PgRoles.parse(rows)


def _digest(text: str | None) -> str | None:
    return hashlib.sha256(text.encode()).hexdigest() if text else None


def roles_plan(env: Environment, db: Host, found: dict[str, RoleState] | None) -> Planned:
    wanted = grants.roles(section(env))
    return plan(postgres.roles, 15, "main", wanted, environment=env, member=db, facts={PgRoles: found})


def test_roles_that_are_right_are_left_alone(env: Environment, db: Host) -> None:
    assert roles_plan(env, db, roles_as_wanted(env)).commands == []


def test_a_bare_host_gets_every_role_and_no_password_in_clear(env: Environment, db: Host) -> None:
    planned = roles_plan(env, db, None)
    (stdin,) = planned.stdin
    assert planned.commands == ["/usr/local/lib/mainstay/postgres-control 15 main sql postgres"]
    assert 'CREATE ROLE "everydayai_app";' in stdin
    assert 'GRANT "pg_read_all_data" TO "everydayai_backup";' in stdin
    assert "everydayai_app: set the password (not shown)" in planned.said.splitlines()
    for name in ("PG_APP_PASSWORD", "PG_OWNER_PASSWORD", "PG_BACKUP_PASSWORD"):
        value = env.secrets.get(name).reveal()
        assert value not in stdin
        assert not [line for line in [*planned.said.splitlines(), *planned.commands] if value in line]


@pytest.mark.parametrize(
    ("change", "statement", "said"),
    [
        ({"superuser": True}, 'ALTER ROLE "everydayai_app" NOSUPERUSER;', "SUPERUSER -> NOSUPERUSER"),
        (
            {"createdb": True, "login": False},
            'ALTER ROLE "everydayai_app" NOCREATEDB LOGIN;',
            "CREATEDB -> NOCREATEDB, set LOGIN",
        ),
        ({"connection_limit": -1}, 'ALTER ROLE "everydayai_app" CONNECTION LIMIT 87;', "CONNECTION LIMIT -1 -> 87"),
        (
            {"valid_until": "2026-01-01"},
            "ALTER ROLE \"everydayai_app\" VALID UNTIL 'infinity';",
            "VALID UNTIL 2026-01-01 -> infinity",
        ),
        (
            {"member_of": ["pg_write_all_data"]},
            'REVOKE "pg_write_all_data" FROM "everydayai_app";',
            "revoke membership of pg_write_all_data",
        ),
    ],
)
def test_only_what_differs_is_altered(env: Environment, db: Host, change: Any, statement: str, said: str) -> None:
    planned = roles_plan(env, db, roles_as_wanted(env, everydayai_app=change))
    assert planned.stdin == [f"BEGIN;\n{statement}\nCOMMIT;\n"]
    assert planned.said.splitlines() == [
        f"everydayai_app: {said}",
        "irreversible: PostgreSQL, in postgres: everydayai_app",
    ]


def test_settings_of_a_role_are_set_and_strange_ones_reset(env: Environment, db: Host) -> None:
    config = ["idle_session_timeout=3600000ms", "statement_timeout=1ms", "search_path=evil"]
    planned = roles_plan(env, db, roles_as_wanted(env, everydayai_app={"config": config}))
    (stdin,) = planned.stdin
    assert "SET \"statement_timeout\" = '30000ms';" in stdin
    assert "SET \"idle_in_transaction_session_timeout\" = '60000ms';" in stdin
    assert 'RESET "search_path";' in stdin
    assert "idle_session_timeout" not in stdin


def test_another_password_is_told_from_the_wanted_one(env: Environment, db: Host) -> None:
    other = verifier("another password")
    changed = {"salt": other.rpartition("$")[0], "verifier_digest": _digest(other)}
    planned = roles_plan(env, db, roles_as_wanted(env, everydayai_app=changed))
    (stdin,) = planned.stdin
    assert planned.said.splitlines()[0] == "everydayai_app: the password differs (not shown)"
    assert 'ALTER ROLE "everydayai_app" PASSWORD \'SCRAM-SHA-256$4096:' in stdin


def test_a_password_that_a_server_would_normalise_is_refused() -> None:
    with pytest.raises(SecretError, match="characters beyond printable ASCII"):
        verifier("pässword")


def test_databases_are_created_outside_a_transaction(env: Environment, db: Host) -> None:
    own = section(env)
    arguments = (15, "main", grants.databases(own), grants.managed(own))
    planned = plan(postgres.databases, *arguments, environment=env, member=db, facts={PgDatabases: None})
    (stdin,) = planned.stdin
    assert stdin.startswith('CREATE DATABASE "everydayai" OWNER "everydayai_owner" TEMPLATE template0')
    assert 'REVOKE CONNECT, TEMPORARY ON DATABASE "everydayai" FROM PUBLIC;' in stdin
    assert "BEGIN" not in stdin


def inside(**changed: Any) -> PrivilegesState:
    """The fact of a database that is right, but for `changed`."""
    used = {APP: ["USAGE"], "everydayai_readonly": ["USAGE"]}
    state = {
        "schemas": {
            "public": {"owner": "pg_database_owner", "acl": {"pg_database_owner": ["CREATE", "USAGE"], **used}},
            APP: {"owner": APP, "acl": {APP: ["CREATE", "USAGE"], "everydayai_readonly": ["USAGE"]}},
        },
        "relations": {},
        "defaults": {
            "everydayai_owner/public/r": {
                APP: ["DELETE", "INSERT", "SELECT", "UPDATE"],
                "everydayai_readonly": ["SELECT"],
            },
            "everydayai_owner/public/S": {APP: ["SELECT", "USAGE"], "everydayai_readonly": ["SELECT"]},
            f"{APP}/{APP}/r": {"everydayai_readonly": ["SELECT"]},
            f"{APP}/{APP}/S": {"everydayai_readonly": ["SELECT"]},
        },
        "extensions": ["plpgsql"],
    }
    return PgPrivileges.parse({**state, **changed})


def privileges_plan(env: Environment, db: Host, found: PrivilegesState) -> Planned:
    own = section(env)
    schemas = grants.schemas(own, "everydayai")
    wanted = {"schemas": schemas, "extensions": [], "managed": grants.managed(own)}
    facts = {PgPrivileges: found}
    return plan(postgres.privileges, 15, "main", "everydayai", environment=env, member=db, facts=facts, **wanted)


def test_privileges_that_are_right_are_left_alone(env: Environment, db: Host) -> None:
    assert privileges_plan(env, db, inside()).commands == []


def test_a_table_gets_the_grants_that_it_lacks_and_loses_the_rest(env: Environment, db: Host) -> None:
    acl = {"": ["SELECT"], "everydayai_owner": ["SELECT"], APP: ["INSERT", "SELECT*"], "elsewhere": ["DELETE"]}
    relations = {"public.items": {"kind": "r", "owner": "everydayai_owner", "acl": acl}}
    planned = privileges_plan(env, db, inside(relations=relations))
    table = 'TABLE "public"."items"'
    assert planned.stdin[0].splitlines()[1:-1] == [
        f"REVOKE SELECT ON {table} FROM PUBLIC;",
        f'REVOKE SELECT ON {table} FROM "everydayai_app";',
        f'GRANT DELETE, SELECT, UPDATE ON {table} TO "everydayai_app";',
        f'GRANT SELECT ON {table} TO "everydayai_readonly";',
    ]


def settled(
    env: Environment, db: Host, allow: bool, altered: list[str], files: Any = None, **changed: dict[str, Any]
) -> Planned:
    base = {"unit": None, "vartype": "integer", "context": "postmaster", "source": "configuration file"}
    rows = {
        "max_connections": {**base, "setting": "100", "pending_restart": False},
        "work_mem": {**base, "setting": "5120", "unit": "kB", "context": "user", "pending_restart": False},
    }
    for name, change in changed.items():
        rows[name].update(change)
    facts = {PgSettings: PgSettings.parse({"settings": rows, "altered": altered, "files": files or {}})}
    wanted = {"max_connections": "100", "work_mem": "5MB"}
    leave = ("postgres.allow_restart", "") if allow else ("", "with --allow-restart")
    return plan(postgres.settled, 15, "main", wanted, leave, OURS, environment=env, member=db, facts=facts)


OURS = ["/etc/postgresql/15/main/conf.d/50-tuning.conf"]
CONTROL = "/usr/local/lib/mainstay/postgres-control 15 main"


def test_settings_in_effect_are_left_alone(env: Environment, db: Host) -> None:
    assert settled(env, db, True, []).commands == []


@pytest.mark.covers("TP-09", "DF-12")
def test_alter_system_of_a_managed_setting_is_reset_and_of_another_told(env: Environment, db: Host) -> None:
    planned = settled(env, db, False, ["work_mem", "log_connections"], work_mem={"setting": "64"})
    assert planned.commands == [f"{CONTROL} sql postgres", f"{CONTROL} activate"]
    assert planned.stdin[0] == "ALTER SYSTEM RESET work_mem;\n"
    assert planned.said.splitlines() == [
        "work_mem: ALTER SYSTEM overrides the files: reset",
        "log_connections: ALTER SYSTEM overrides the files: left alone, the inventory does not set it",
        "work_mem: 64kB in effect, 5MB wanted",
    ]


def test_a_file_beside_ours_that_overrides_is_removed(env: Environment, db: Host) -> None:
    stray = "/etc/postgresql/15/main/conf.d/99-mine.conf"
    planned = settled(env, db, False, [], files={"max_connections": OURS[0], "work_mem": stray})
    assert planned.commands == [
        f"/usr/local/lib/mainstay/journal save r1 {stray}",
        f"rm -f -- {stray}",
        f"{CONTROL} activate",
    ]
    assert planned.said == f"{stray}: sets work_mem over the inventory: removed"


@pytest.mark.covers("PG-16", "DF-12")
@pytest.mark.parametrize(
    ("allow", "commands", "said"),
    [
        (False, [], "waits for a restart: with --allow-restart"),
        (True, [f"{CONTROL} activate restart"], "by a restart (postgres.allow_restart)"),
    ],
)
def test_a_setting_that_needs_a_restart_waits_for_leave(
    env: Environment, db: Host, allow: bool, commands: list[str], said: str
) -> None:
    planned = settled(env, db, allow, [], max_connections={"setting": "33", "pending_restart": True})
    assert planned.commands == commands
    assert planned.said.splitlines() == [f"max_connections: 33 in effect, 100 wanted, {said}"]
    assert [note.pending for note in planned.notes] == [not allow]


def test_a_bare_host_has_nothing_to_settle(env: Environment, db: Host) -> None:
    arguments = (15, "main", {"port": "5432"}, ("postgres.allow_restart", ""), OURS)
    planned = plan(postgres.settled, *arguments, environment=env, member=db, facts={PgSettings: None})
    assert planned.commands == []


def test_the_cluster_is_made_once(env: Environment, db: Host) -> None:
    def made(exists: bool) -> list[str]:
        facts = {ClusterExists: exists}
        return plan(postgres.cluster, 15, "main", 5432, environment=env, member=db, facts=facts).commands

    assert made(True) == []
    (command,) = made(False)
    assert "--data-checksums" in command and "--encoding UTF8" in command
