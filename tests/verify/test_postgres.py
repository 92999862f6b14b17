"""PostgreSQL as its users meet it: settings in effect, roles that may do what they need, nobody else let in."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from itertools import zip_longest
from pathlib import Path
from typing import Any

import psycopg
import pytest

from deploys.components.postgres import access, files, grants
from deploys.components.postgres.model import OWNED_SETTINGS, Section, client_roles, section
from deploys.components.replication import grants as replication
from deploys.operations.postgres_settings import differing
from facts import psql
from facts.postgres import SettingState
from mainstay import ports
from mainstay.inventory import Environment, Host
from mainstay.tunnel import Tunnels
from mainstay.windows import restart_leave

ON_PRIMARY = pytest.mark.roles("db")
# What each host has of its own; what replicas copy is asked of the primary, which they may be a moment behind.
ON_EACH = pytest.mark.roles("db", "db_replica")


@pytest.fixture(scope="module")
def postgres(environment: Environment) -> Section:
    own = section(environment)
    if own.managed:
        pytest.skip("somebody else runs it: the services' own /health/db tells whether it answers")
    return own


@pytest.fixture(scope="module")
def sql(host: Any, postgres: Section) -> Any:
    """Rows of a query as the superuser, each as a list."""

    def found(query: str, database: str = "postgres") -> Any:
        return _rows(host, postgres, query, [database])[0]

    return found


def _rows(host: Any, postgres: Section, query: str, databases: Sequence[str]) -> list[Any]:
    """The rows in each of one or more databases, by one psql."""
    done = host.run(psql.rows(postgres.major, postgres.port, query, databases))
    assert done.rc == 0, f"PostgreSQL does not answer: {done.stderr.strip()}"
    return psql.parse_rows(done.stdout)


@ON_EACH
@pytest.mark.covers("HC-04")
def test_the_cluster_itself_runs_and_starts_at_boot(host: Any, postgres: Section) -> None:
    unit = host.service(postgres.unit)
    assert unit.is_running, f"{postgres.unit} is not active"
    assert unit.is_enabled, f"{postgres.unit} does not start at boot"
    ready = host.run(f"{psql.program(postgres.major, 'pg_isready')} -q -h 127.0.0.1 -p {postgres.port}")
    assert ready.rc == 0, f"no answer on port {postgres.port}: pg_isready ends with {ready.rc}"


@pytest.fixture(scope="module")
def waiting(sql: Any) -> set[str]:
    """The settings that are written and wait for a restart; by the files: `pending_restart` alone stays set where a
    line that was never applied is gone again."""
    rows = sql(
        "SELECT s.name FROM pg_settings s LEFT JOIN (SELECT lower(name) AS name, "
        "bool_or(NOT applied AND error IS NOT NULL) AS waits FROM pg_file_settings GROUP BY 1) f "
        "ON f.name = lower(s.name) "
        "WHERE s.pending_restart AND (f.waits OR (f.name IS NULL AND s.source = 'configuration file'))"
    )
    return {name for (name,) in rows}


@pytest.fixture(scope="module")
def in_order(environment: Environment, member: Host, postgres: Section) -> set[str]:
    """The settings that may wait for a restart: those of the inventory, until there is leave for one."""
    leave, _ = restart_leave(environment, "postgres.allow_restart", postgres.allow_restart, False, datetime.now(UTC))
    return set() if leave else set(files.in_effect(environment, member))


@ON_EACH
def test_settings_are_in_effect(
    sql: Any, environment: Environment, member: Host, waiting: set[str], in_order: set[str]
) -> None:
    wanted = files.in_effect(environment, member)
    names = ", ".join(f"'{name}'" for name in wanted)
    columns = "name, setting, unit, vartype, context, source, pending_restart"
    rows = sql(f"SELECT {columns} FROM pg_settings WHERE lower(name) IN ({names})")
    found = {name.lower(): SettingState(*rest) for name, *rest in rows}
    assert not wanted.keys() - found.keys(), f"unknown to the server: {sorted(wanted.keys() - found.keys())}"
    late = waiting & in_order
    changes = [change for change in differing(wanted, found) if not (change.needs_restart and change.name in late)]
    assert not changes, "; ".join(f"{change.name} is {change.found}, not {change.wanted}" for change in changes)


@ON_EACH
@pytest.mark.covers("PT-08", "DF-12")
def test_nothing_waits_for_a_restart(
    waiting: set[str], in_order: set[str], environment: Environment, record_property: Callable[[str, object], None]
) -> None:
    """Longer than it must: where there is no leave for one yet, the inventory's own settings wait in order."""
    late = sorted(waiting - in_order)
    assert not late, f"waiting for a restart: {', '.join(late)}"
    if waiting:
        _, when = restart_leave(environment, "", False, False, datetime.now(UTC))
        record_property("note", f"waiting for a restart, {when}: {', '.join(sorted(waiting))}")


@ON_EACH
@pytest.mark.covers("PT-08", "TP-09", "DF-12")
def test_alter_system_overrides_nothing(
    sql: Any, environment: Environment, member: Host, record_property: Callable[[str, object], None]
) -> None:
    rows = sql("SELECT DISTINCT name FROM pg_file_settings WHERE sourcefile LIKE '%/postgresql.auto.conf'")
    managed = {*files.in_effect(environment, member), *OWNED_SETTINGS}
    altered = [name for (name,) in rows if name in managed]
    assert not altered, f"set by ALTER SYSTEM: {', '.join(altered)}"
    if rows:
        others = ", ".join(sorted(name for (name,) in rows))
        record_property("note", f"set by ALTER SYSTEM, which the inventory knows nothing of: {others}")


@ON_PRIMARY
def test_extensions_are_there(sql: Any, postgres: Section, waiting: set[str]) -> None:
    """One whose library must be loaded at the start answers only then."""
    for name, database in postgres.databases.items():
        if not database.extensions:
            continue
        found = {extension for (extension,) in sql("SELECT extname FROM pg_extension", name)}
        missing = sorted(set(database.extensions) - found)
        assert not missing, f"{name} lacks {', '.join(missing)}"
        if "pg_stat_statements" in database.extensions and "shared_preload_libraries" not in waiting:
            (seen,) = sql("SELECT count(*) > 0 AS seen FROM pg_stat_statements", name)[0]
            assert seen, f"pg_stat_statements has seen nothing in {name}"


@ON_EACH
@pytest.mark.covers("TP-10")
def test_access_rules_are_loaded_without_errors(sql: Any, environment: Environment, postgres: Section) -> None:
    wrong = sql("SELECT line_number, error FROM pg_hba_file_rules WHERE error IS NOT NULL")
    assert not wrong, f"pg_hba.conf line {wrong[0][0]}: {wrong[0][1]}" if wrong else ""
    (count,) = sql("SELECT count(*) FROM pg_hba_file_rules")[0]
    assert count == len(access.rules(environment, postgres)), f"{count} rules in pg_hba.conf, not the inventory's"


@ON_EACH
def test_data_has_checksums(sql: Any) -> None:
    (value,) = sql("SELECT current_setting('data_checksums')")[0]
    assert value == "on", f"data_checksums is {value}"


@ON_EACH
def test_listens_on_loopback_and_the_private_address_only(host: Any, member: Host, postgres: Section) -> None:
    lines = host.check_output(f"ss -Hltn 'sport = :{postgres.port}'").splitlines()
    found = {line.split()[3].rpartition(":")[0].strip("[]") for line in lines}
    assert found - {"::1"} == {"127.0.0.1", member.address}, f"listens on {', '.join(sorted(found)) or 'nothing'}"


@ON_PRIMARY
@pytest.mark.covers("DF-95")
def test_roles_are_those_of_the_inventory(sql: Any, environment: Environment, postgres: Section) -> None:
    rows = sql(
        "SELECT rolname, rolsuper OR rolcreaterole OR rolcreatedb OR rolbypassrls AS powers, "
        "rolreplication, rolcanlogin, rolconnlimit, coalesce(rolconfig, '{}') AS config, "
        "(SELECT coalesce(array_agg(g.rolname), '{}') "
        "FROM pg_auth_members JOIN pg_roles g ON g.oid = roleid WHERE member = r.oid) AS groups FROM pg_roles r"
    )
    found = {name: tuple(rest) for name, *rest in rows}
    for role in grants.roles(postgres) + replication.roles(environment):
        assert role.name in found, f"no role {role.name}"
        powers, follows, login, limit, config, groups = found[role.name]
        assert not powers, f"{role.name} may do what only a superuser should"
        assert follows == role.replication, f"{role.name}: REPLICATION is {follows}"
        assert login == role.login, f"{role.name}: LOGIN is {login}"
        assert limit == role.connection_limit, f"{role.name}: CONNECTION LIMIT is {limit}"
        assert sorted(config) == sorted(f"{k}={v}" for k, v in role.config.items()), f"{role.name}: settings {config}"
        assert set(groups) == role.member_of, f"{role.name} is a member of {groups}"


@ON_PRIMARY
@pytest.mark.covers("DF-95")
def test_nobody_but_postgres_is_a_superuser(sql: Any) -> None:
    others = [name for (name,) in sql("SELECT rolname FROM pg_roles WHERE rolsuper AND rolname <> 'postgres'")]
    assert not others, f"superusers: {', '.join(others)}"


@ON_PRIMARY
def test_passwords_are_kept_as_scram(sql: Any, postgres: Section) -> None:
    rows = sql("SELECT rolname, left(rolpassword, 14) FROM pg_authid WHERE rolpassword IS NOT NULL")
    weak = [name for name, kind in rows if kind != "SCRAM-SHA-256$"]
    assert not weak, f"not SCRAM-SHA-256: {', '.join(weak)}"
    missing = {role.name for role in grants.roles(postgres) if role.secret} - {name for name, _ in rows}
    assert not missing, f"no password: {', '.join(sorted(missing))}"


@ON_PRIMARY
@pytest.mark.covers("DF-95")
def test_databases_are_open_to_their_roles_only(sql: Any, postgres: Section) -> None:
    rows = sql(
        "SELECT datname, pg_get_userbyid(datdba), has_database_privilege('public', oid, 'CONNECT') FROM pg_database"
    )
    found = {name: (owner, public) for name, owner, public in rows}
    for name, database in postgres.databases.items():
        assert name in found, f"no database {name}"
        owner, public = found[name]
        assert owner == database.owner, f"{name} is owned by {owner}"
        assert not public, f"everybody may connect to {name}"


@ON_PRIMARY
@pytest.mark.covers("DF-95")
def test_only_owners_create_in_public(host: Any, postgres: Section) -> None:
    query = "SELECT rolname, has_schema_privilege(oid, 'public', 'CREATE') AS creates FROM pg_roles"
    databases = list(postgres.databases)
    for database, rows in zip(databases, _rows(host, postgres, query, databases), strict=True):
        creates = dict(rows)
        for name, role in postgres.roles.items():
            if database in role.databases:
                right = creates.get(name) == (role.kind == "owner")
                assert right, f"{name} in {database}: CREATE on public is {creates.get(name)}"


@ON_PRIMARY
@pytest.mark.covers("HC-04")
def test_each_role_gets_an_answer(host: Any, postgres: Section) -> None:
    """One psql a role, which goes from database to database and ends at the first that refuses it."""
    ask = psql.program(postgres.major)
    for name, role in postgres.roles.items():
        asked = " ".join(f"-c '\\connect {database}' -c 'SELECT current_user'" for database in role.databases)
        done = host.run(f"{ask} -p {postgres.port} -U {name} -d {role.databases[0]} {asked}")
        for database, answer in zip_longest(role.databases, done.stdout.split()):
            assert answer == name, f"{name} on {database}: {_end(done)}"


@ON_EACH
@pytest.mark.covers("DF-95")
def test_the_superuser_is_refused_over_the_network(host: Any, member: Host, postgres: Section) -> None:
    ask = psql.program(postgres.major)
    for address in ("127.0.0.1", member.address):
        done = host.run(f"{ask} -h {address} -p {postgres.port} -U postgres -d postgres -c 'SELECT 1'")
        assert done.rc != 0 and "pg_hba.conf rejects" in done.stderr, f"over {address}: {_end(done)}"


@ON_EACH
def test_roles_are_refused_from_hosts_that_are_not_theirs(
    host: Any, member: Host, postgres: Section, environment: Environment
) -> None:
    """The host itself, over its private address, is such a host; its firewall plays no part there."""
    ask = psql.program(postgres.major)
    for name, role in postgres.roles.items():
        if set(client_roles(environment, role)) & set(member.roles):
            continue
        command = f"{ask} -h {member.address} -p {postgres.port} -U {name} -d {role.databases[0]} -c 'SELECT 1'"
        done = host.run(command)
        assert done.rc != 0 and "no pg_hba.conf entry" in done.stderr, f"{name}: {_end(done)}"


@pytest.mark.roles("app", "ml")
@pytest.mark.covers("HC-04")
def test_app_roles_log_in_from_here(
    environment: Environment, member: Host, postgres: Section, tunnels: Tunnels
) -> None:
    for name, role in postgres.roles.items():
        if role.password is None or not set(client_roles(environment, role)) & set(member.roles):
            continue
        way = tunnels.to(member, environment.hosts_of("db")[0].address, postgres.port)
        for database in role.databases:
            assert _login(environment, way, postgres, name, database) == name


@pytest.mark.roles("web", "cache", "monitoring")
def test_the_database_cannot_be_reached_from_here(
    host: Any, environment: Environment, member: Host, postgres: Section, tunnels: Tunnels
) -> None:
    """By the firewall, or else by pg_hba.conf; with a password that is right. One role stands for all: which roles
    pg_hba.conf lets in from where is a check of its own."""
    if not ports.answers(host, environment.hosts_of("db")[0], postgres.port):
        return
    for name, role in postgres.roles.items():
        if role.password is None or set(client_roles(environment, role)) & set(member.roles):
            continue
        way = tunnels.to(member, environment.hosts_of("db")[0].address, postgres.port)
        with pytest.raises(psycopg.OperationalError):
            _login(environment, way, postgres, name, role.databases[0], timeout=2)
        return


def _login(
    environment: Environment, way: Path, postgres: Section, role: str, database: str, *, timeout: int = 10
) -> str:
    """Who the server says one is, after a login that comes by `way`; the password never leaves this process."""
    spec = postgres.roles[role]
    assert spec.password is not None
    password = environment.secrets.get(spec.password).reveal()
    with psycopg.connect(
        host=str(way), port=postgres.port, user=role, password=password, dbname=database, connect_timeout=timeout
    ) as connection:
        row = connection.execute("SELECT current_user").fetchone()
    assert row is not None
    return str(row[0])


def _end(done: Any) -> str:
    return (done.stderr or done.stdout).strip().splitlines()[-1]
