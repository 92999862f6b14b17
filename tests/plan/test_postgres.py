"""PostgreSQL before any host: files from a fixed environment, statements from fixed facts."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from deploys.components.postgres import files, grants
from deploys.components.postgres.model import section
from deploys.operations import postgres
from deploys.operations.scram import verifier
from facts.postgres import ClusterExists, PgDatabases, PgPrivileges, PgRoles, PgSettings, PrivilegesState, RoleState
from mainstay.errors import SecretError
from mainstay.inventory import Environment, Host
from mainstay.secrets import SecretStore
from mainstay.secrets.identity import VARIABLE, create_identity
from mainstay.secrets.needed import needed_secrets
from tests.plan.harness import Planned, plan
from tests.unit.inventories import copied, loaded, messages, unwatched

APP = "everydayai_app"


@pytest.fixture(scope="module")
def env(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Environment]:
    """Production of the shipped system with secrets of its own."""
    folder = tmp_path_factory.mktemp("project")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(VARIABLE, str(folder / "identity.txt"))
        create_identity(folder / "identity.txt")
        root = copied(folder)
        store = SecretStore.open(root / "inventories/everydayai/secrets.production.yaml")
        by_hand = store.generate(needed_secrets(loaded(root))).by_hand
        store.update({name: f"issued-{name.lower()}-0123456789" for name in by_hand})
        yield loaded(root)


@pytest.fixture(scope="module")
def db(env: Environment) -> Host:
    return env.hosts["eai-db-1"]


def text_of(env: Environment, host: Host, name: str) -> str:
    return next(managed.content for managed in files.files(env, host) if managed.path.endswith(name))


# Files


def test_access_is_for_the_hosts_of_each_role_and_for_no_superuser(env: Environment, db: Host) -> None:
    rules = [line.split() for line in text_of(env, db, "pg_hba.conf").splitlines() if not line.startswith("#")]
    assert rules[0] == ["local", "all", "postgres", "peer"]
    assert rules[1] == ["host", "all", "postgres", "all", "reject"]
    from_hosts = {tuple(rule[2:4]) for rule in rules[2:] if rule[0] == "host"}
    apps = {f"{host.address}/32" for host in env.hosts_of("app")}
    assert {address for role, address in from_hosts if role == APP} == apps | {"127.0.0.1/32", "::1/128"}
    assert {address for role, address in from_hosts if role != APP} == {"127.0.0.1/32", "::1/128"}
    assert {rule[-1] for rule in rules[2:] if rule[0] == "host"} == {"scram-sha-256"}


def test_it_listens_on_loopback_and_its_own_address(env: Environment, db: Host) -> None:
    assert f"listen_addresses = 'localhost,{db.address}'\n" in text_of(env, db, "40-access.conf")


def test_values_of_the_inventory_come_last_and_say_so(env: Environment, db: Host) -> None:
    assert "# postgres.settings\nlog_min_duration_statement = '100ms'\n" in text_of(env, db, "50-tuning.conf")


def test_an_overridden_value_says_what_was_computed(tmp_path: Path) -> None:
    edit = ("system.yaml", "log_min_duration_statement: 100ms", "shared_buffers: 1GB")
    env = loaded(copied(tmp_path, edit))
    text = text_of(env, env.hosts["eai-db-1"], "50-tuning.conf")
    assert "# postgres.settings; computed: 2GB\nshared_buffers = '1GB'\n" in text


def test_an_extension_that_must_be_loaded_at_start_is(tmp_path: Path) -> None:
    edit = ("system.yaml", "{owner: everydayai_owner}", "{owner: everydayai_owner, extensions: [pg_stat_statements]}")
    env = loaded(copied(tmp_path, edit))
    text = text_of(env, env.hosts["eai-db-1"], "50-tuning.conf")
    assert "\nshared_preload_libraries = 'pg_stat_statements'\n" in text
    assert files.in_effect(env, env.hosts["eai-db-1"])["shared_preload_libraries"] == "pg_stat_statements"


def test_a_quote_in_a_value_stays_inside_its_quotes(tmp_path: Path) -> None:
    edit = ("system.yaml", "log_min_duration_statement: 100ms", 'log_line_prefix: "x\' \\\\ y"')
    env = loaded(copied(tmp_path, edit))
    assert "log_line_prefix = 'x'' \\\\ y'\n" in text_of(env, env.hosts["eai-db-1"], "50-tuning.conf")


def test_nothing_is_managed_where_somebody_else_runs_it(tmp_path: Path) -> None:
    edit = ("system.yaml", "managed: false                                # fix (seed: Supabase", "managed: true # (")
    env = loaded(unwatched(copied(tmp_path, edit)))
    assert files.files(env, env.hosts["eai-db-1"]) == []


# The model


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (
            ("production.yaml", "roles: [db]", "debian: 13, roles: [db]"),
            "postgres.major: found 15 for eai-db-1, which runs Debian 13, expected 17, the one that release packages",
        ),
        (
            ("system.yaml", "log_min_duration_statement: 100ms", "port: 5433"),
            "postgres.settings.port: found a setting that the component writes itself, expected it left out",
        ),
        (
            ("system.yaml", "log_min_duration_statement: 100ms", "shared_buffers: 64GB"),
            "postgres.settings.shared_buffers: found 64GB on eai-db-1, which has 8192 MiB, "
            "expected half of the host's memory at most",
        ),
        (
            ("system.yaml", "log_min_duration_statement: 100ms", "shared_buffers: 64 GB"),
            "postgres.settings.shared_buffers: found 64 GB on eai-db-1, which has 8192 MiB, "
            "expected half of the host's memory at most",
        ),
        (
            ("system.yaml", "log_min_duration_statement: 100ms", "shared_buffers: 8388608"),
            "postgres.settings.shared_buffers: found 8388608, which is 64GB, on eai-db-1, which has 8192 MiB, "
            "expected half of the host's memory at most",
        ),
        (
            ("system.yaml", "log_min_duration_statement: 100ms", "work_mem: 64GB"),
            "postgres.settings.work_mem: found 64GB on eai-db-1, which has 8192 MiB, "
            "expected a quarter of the host's memory at most: one hash takes 2 times as much",
        ),
        (
            ("system.yaml", "log_min_duration_statement: 100ms", "maintenance_work_mem: 2097152"),
            "postgres.settings.maintenance_work_mem: found 2097152, which is 2GB, on eai-db-1, which has 8192 MiB, "
            "expected a sixth of the host's memory at most: 3 autovacuum workers may take it at once",
        ),
        (
            ("system.yaml", "log_min_duration_statement: 100ms", "max_connections: 300"),
            "postgres.settings.max_connections: found a second place for it, expected postgres.max_connections",
        ),
        (
            ("system.yaml", "connection_limit: 87", "connection_limit: 101"),
            "postgres.roles.everydayai_app.connection_limit: found 101, "
            "expected at most postgres.max_connections (100)",
        ),
        (
            ("system.yaml", "everydayai: {owner: everydayai_owner}", "everydayai: {owner: everydayai_app}"),
            "postgres.databases.everydayai.owner: found 'everydayai_app', "
            "expected a role of kind owner that lists everydayai",
        ),
    ],
)
def test_what_cannot_be_is_refused_before_any_host(tmp_path: Path, edit: Any, message: str) -> None:
    assert message in messages(copied(tmp_path, edit))


def test_a_size_that_fits_is_taken_and_what_is_none_is_left_to_the_server(tmp_path: Path) -> None:
    own = "{shared_buffers: 4GB, work_mem: 2 GB, maintenance_work_mem: 1GB}"
    text = (Path(__file__).parents[2] / "inventories" / "everydayai" / "system.yaml").read_text()
    line = next(line for line in text.splitlines() if "log_min_duration_statement" in line)
    fits = ("system.yaml", f"  settings:\n{line}", f"  settings: {own}")
    assert messages(copied(tmp_path / "fits", fits)) == []
    said = "work_mem: 1 furlong\n    shared_buffers: '1e999'"
    none = ("system.yaml", "log_min_duration_statement: 100ms", said)
    assert messages(copied(tmp_path / "none", none)) == []


@pytest.mark.parametrize(("own", "shown"), [("shared_buffers: 1.25 GB", "1280M"), ("shared_buffers: 196608", "1536M")])
def test_what_the_inventory_gives_the_cluster_counts_against_its_host(tmp_path: Path, own: str, shown: str) -> None:
    """With an app's 3 G on the same host of 4 G; a quarter of it would fit."""
    edits = [
        ("production.yaml", "roles: [db], memory: 8G", "roles: [db, app], memory: 4G"),
        ("system.yaml", "memory_max: 512M", "memory_max: 1536M"),
    ]
    found = f"found 4G, less than 2 backend x 1536M + postgres.shared_buffers {shown}"
    assert not [message for message in messages(copied(tmp_path / "fits", *edits)) if "shared_buffers" in message]
    root = copied(tmp_path / "own", *edits, ("system.yaml", "log_min_duration_statement: 100ms", own))
    assert [message for message in messages(root) if found in message]


def test_own_libraries_must_hold_what_an_extension_needs(tmp_path: Path) -> None:
    listed = ("system.yaml", "{owner: everydayai_owner}", "{owner: everydayai_owner, extensions: [pg_stat_statements]}")
    own = ("system.yaml", "log_min_duration_statement: 100ms", "shared_preload_libraries: auto_explain")
    assert messages(copied(tmp_path, listed, own)) == [
        "postgres.settings.shared_preload_libraries: found 'auto_explain', "
        "expected pg_stat_statements in it: a database lists that extension"
    ]


# Operations against fixed facts


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
