"""PgBouncer before any host: pools from the budget, what is refused, files, and operations against fixed facts."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deploys.components.pgbouncer import files
from deploys.components.pgbouncer.model import pool_sizes
from deploys.operations import pgbouncer
from facts.pgbouncer import PgbouncerInEffect, PgbouncerState, parse_state, table
from mainstay.inventory import Environment, Host
from tests.plan import systems
from tests.plan.harness import Planned, plan
from tests.unit.inventories import Edit, copied, loaded, messages

SECTION = "redis:\n  managed: false "
POOLED: Edit = ("system.yaml", SECTION, f"pgbouncer: {{role: db}}\n\n{SECTION}")
BESIDE: Edit = ("system.yaml", SECTION, f"pgbouncer: {{role: app}}\n\n{SECTION}")
PORT: Edit = ("system.yaml", "PGPORT: {type: port, value: 5432", "PGPORT: {type: port, value: 6432")
LOOPBACK: Edit = ("system.yaml", "PGHOST: {type: host, address_of: db", "PGHOST: {type: host, value: 127.0.0.1")
CONTROL = "/usr/local/lib/mainstay/pgbouncer-control"


def own(text: str) -> Edit:
    """A section of pgbouncer with these values."""
    return ("system.yaml", SECTION, f"pgbouncer: {{{text}}}\n\n{SECTION}")


@pytest.fixture
def env(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Environment:
    return systems.pinned(systems.project(tmp_path, monkeypatch, POOLED, PORT))


# The budget


def test_beside_the_cluster_one_pooler_has_all_that_is_left(env: Environment) -> None:
    assert pool_sizes(env) == {"everydayai": 87}


def test_beside_the_services_each_has_its_share(tmp_path: Path) -> None:
    assert pool_sizes(loaded(copied(tmp_path, BESIDE, LOOPBACK, PORT))) == {"everydayai": 29}


@pytest.mark.covers("DF-13", "PT-11")
def test_clients_may_be_more_than_connections_only_through_pools(tmp_path: Path) -> None:
    """4 x what fits: refused where services log in themselves, and taken where they meet a pooler."""
    more = ("system.yaml", "pool: 2 ", "pool: 8 ")
    (message,) = messages(copied(tmp_path / "without", more))
    assert message.startswith(
        "postgres.max_connections: found 100, which leaves 87, expected connections for backend: "
    )
    assert messages(copied(tmp_path / "with", more, POOLED, PORT)) == []
    env = loaded(copied(tmp_path / "files", more, POOLED, PORT))
    assert files.settings(env, env.hosts["eai-db-1"])["max_client_conn"] == str(3 * 2 * 4 * 8 + 20)


@pytest.mark.covers("DF-13")
@pytest.mark.parametrize(
    ("edits", "message"),
    [
        (
            [own("role: app, pool_sizes: {everydayai: 30}"), LOOPBACK, PORT],
            "postgres.max_connections: found 100, which leaves 87 for pools, expected connections for "
            "3 poolers x (everydayai 30), besides 3 reserved and 10 for people",
        ),
        (
            [own("direct: [backend]"), ("system.yaml", "pool: 2 ", "pool: 4 ")],
            "postgres.max_connections: found 100, which leaves -9 for pools, expected connections for "
            "1 pooler x (everydayai a share, 1 at least); backend: 3 hosts x 2 instances x 4 workers x 4 = 96, "
            "besides 3 reserved and 10 for people",
        ),
        (
            [POOLED, PORT, ("system.yaml", "connection_limit: 87", "connection_limit: 80")],
            "postgres.roles.everydayai_app.connection_limit: found 80, expected 87, what its pools hold, at least",
        ),
        (
            [own("max_clients: 40"), PORT],
            "pgbouncer.max_clients: found 40, expected clients for backend: 3 hosts x 2 instances x 4 workers x 2 = 48 "
            "on eai-db-1",
        ),
        (
            [own("direct: [backnd]"), PORT],
            "pgbouncer.direct[0]: found 'backnd', expected a service",
        ),
        (
            [own("pool_sizes: {other: 3}"), PORT],
            "pgbouncer.pool_sizes.other: found 'other', expected a database that a role of kind app lists",
        ),
        (
            [own("pool_sizes: {everydayai: 0}"), PORT],
            "pgbouncer.pool_sizes.everydayai: found 0, expected one connection at least",
        ),
        (
            [own("port: 5432")],
            "pgbouncer.port: found port 5432 for pgbouncer, which postgres has on eai-db-1, expected a port of its own",
        ),
    ],
)
def test_what_cannot_be_is_refused_before_any_host(tmp_path: Path, edits: list[Edit], message: str) -> None:
    assert messages(copied(tmp_path, *edits)) == [message]


@pytest.mark.covers("DF-13")
@pytest.mark.parametrize(
    ("edits", "wanted"),
    [
        (
            [POOLED],
            ["services.backend.env_vars.PGPORT.value: found 5432, expected 6432, as pgbouncer.port, {direct}"],
        ),
        (
            [POOLED, ("system.yaml", "      PGPORT: {type: port, value: 5432, required: true}", "")],
            ["services.backend.env_vars.PGPORT: found nothing, expected 6432, as pgbouncer.port, {direct}"],
        ),
        (
            [POOLED, (*LOOPBACK[:2], "PGHOST: {type: host, value: 198.51.100.31")],
            ["services.backend.env_vars.PGPORT.value: found 5432, expected 6432, as pgbouncer.port, {direct}"],
        ),
        (
            [BESIDE, PORT],
            [
                "services.backend.env_vars.PGHOST.address_of: found 'db', expected the value 127.0.0.1: "
                "each host of role app has its pooler, {direct}"
            ],
        ),
        (
            [BESIDE, LOOPBACK],
            ["services.backend.env_vars.PGPORT.value: found 5432, expected 6432, as pgbouncer.port, {direct}"],
        ),
        (
            [
                BESIDE, LOOPBACK, PORT,
                ("system.yaml", "    role: app ", "    role: ml "),
                ("production.yaml", "roles: [cache]", "roles: [cache, ml]"),
            ],
            [
                "pgbouncer.role: found app, and eai-cache-1 runs backend and no pooler, "
                "expected db, or backend in pgbouncer.direct"
            ],
        ),
        ([own("direct: [backend]")], []),
    ],
    ids=["straight", "by default", "a literal address", "beside, to db", "beside, straight", "no pooler", "direct"],
)  # fmt: skip
def test_no_service_goes_past_its_pooler(tmp_path: Path, edits: list[Edit], wanted: list[str]) -> None:
    """Its pool may be larger than what the cluster has; one that needs the cluster itself says so."""
    direct = "or the service in pgbouncer.direct"
    said = messages(copied(tmp_path, *edits))
    assert said == [message.format(direct=direct) for message in wanted]


def test_a_replica_has_a_port_of_its_own(tmp_path: Path) -> None:
    """A pooler leads to the primary."""
    added = ["READ_HOST: {type: host, address_of: db_replica}", "READ_PORT: {type: port, value: 5432}", "PGHOST:"]
    read = "\n".join(f"      {line}" for line in added)
    replica = ("production.yaml", "roles: [cache]", "roles: [cache, db_replica]")
    also = ("system.yaml", SECTION, f"replication: {{}}\n\n{SECTION}")
    assert messages(copied(tmp_path, POOLED, PORT, also, replica, ("system.yaml", "      PGHOST:", read))) == []


def test_a_pooler_needs_a_cluster_of_our_own(tmp_path: Path) -> None:
    managed = ("system.yaml", "postgres:\n  managed: false", "postgres:\n  managed: true")
    expected = "expected a cluster of Mainstay's own (postgres, with managed: false)"
    assert f"pgbouncer: found a pooler without a cluster, {expected}" in messages(copied(tmp_path, POOLED, managed))


def test_a_database_that_is_not_described_is_told_and_ends_nothing(tmp_path: Path) -> None:
    """Its role has a limit, which is held against the pools of the databases that there are."""
    unknown = (
        "system.yaml",
        "kind: app\n      databases: [everydayai]",
        "kind: app\n      databases: [everydayai, other]",
    )
    found = "postgres.roles.everydayai_app.databases[1]: found 'other', expected one of postgres.databases"
    assert found in messages(copied(tmp_path, POOLED, PORT, unknown))


# Files


def test_passwords_stand_as_placeholders_in_a_file_for_the_pooler_alone(env: Environment) -> None:
    db = env.hosts["eai-db-1"]
    by_path = {managed.path: managed for managed in files.files(env, db)}
    listed = by_path[files.USERS]
    assert (listed.owner, listed.group, listed.mode) == ("root", "postgres", 0o640)
    assert listed.content == '"everydayai_app" "<secret PG_APP_PASSWORD@1>"\n'
    assert files.files(env, env.hosts["eai-app-1"]) == []


def test_beside_the_services_it_listens_on_loopback_and_speaks_tls_to_the_cluster(tmp_path: Path) -> None:
    env = loaded(copied(tmp_path, BESIDE, LOOPBACK, PORT))
    app, db = env.hosts["eai-app-1"], env.hosts["eai-db-1"]
    found = files.settings(env, app)
    assert (found["listen_addr"], found["server_tls_sslmode"]) == ("127.0.0.1", "require")
    assert files.databases(env, app)["everydayai"]["host"] == db.address


def test_sizes_say_where_they_come_from(env: Environment, tmp_path: Path) -> None:
    found = {setting.name: setting for setting in files.tuned(env, env.hosts["eai-db-1"])}
    pool, clients = found["everydayai.pool_size"], found["max_client_conn"]
    assert (pool.value, pool.of) == ("87", ("postgres.max_connections",))
    assert pool.reason == "an equal share of 87 connections: 1 pooler, 1 database (DF-13)"
    assert (clients.value, clients.reason) == ("68", "what services may open here, and 20 more")
    said = loaded(copied(tmp_path / "own", own("pool_sizes: {everydayai: 40}, max_clients: 90"), PORT))
    assert [one.source for one in files.tuned(said, said.hosts["eai-db-1"])] == ["inventory", "inventory"]
    assert files.tuned(env, env.hosts["eai-app-1"]) == []


# Facts and operations


def in_effect(env: Environment, db: Host, **changed: str) -> PgbouncerState:
    """The fact of a pooler that is right, but for `changed`."""
    databases = {
        name: {
            "name": name,
            "host": values["host"],
            "port": values["port"],
            "database": values["dbname"],
            "pool_size": changed.pop("pool_size", values["pool_size"]),
            "max_connections": values["max_db_connections"],
        }
        for name, values in files.databases(env, db).items()
    }
    settings = files.settings(env, db) | changed
    return PgbouncerState(True, settings, frozenset({"listen_port", "listen_addr"}), databases)


def settled(env: Environment, state: PgbouncerState | None, leave: tuple[str, str] = ("", "later")) -> Planned:
    db = env.hosts["eai-db-1"]
    arguments = (files.settings(env, db), files.databases(env, db), leave)
    return plan(pgbouncer.settled, *arguments, environment=env, member=db, facts={PgbouncerInEffect: state})


def test_what_is_right_is_left_alone(env: Environment) -> None:
    db = env.hosts["eai-db-1"]
    assert settled(env, in_effect(env, db)).commands == []
    assert settled(env, None).commands == []


@pytest.mark.parametrize(
    ("changed", "leave", "commands", "said"),
    [
        ({"max_client_conn": "50"}, "", [f"{CONTROL} activate"], "max_client_conn: 50 in effect, 68 wanted"),
        ({"pool_size": "90"}, "", [f"{CONTROL} activate"], "everydayai: pool_size 90 in effect, 87 wanted"),
        ({"listen_port": "6433"}, "", [], "listen_port: 6433 in effect, 6432 wanted, waits for a restart: later"),
        (
            {"listen_port": "6433"},
            "--allow-restart",
            [f"{CONTROL} activate restart"],
            "listen_port: 6433 in effect, 6432 wanted, by a restart (--allow-restart)",
        ),
    ],
)
def test_a_reload_brings_back_what_it_can(
    env: Environment, changed: dict[str, str], leave: str, commands: list[str], said: str
) -> None:
    found = in_effect(env, env.hosts["eai-db-1"], **changed)
    planned = settled(env, found, (leave, "" if leave else "later"))
    assert (planned.commands, planned.said) == (commands, said)


def test_the_console_is_read_whatever_its_version_shows() -> None:
    lines = ["running", "settings", "key\x1fvalue\x1fdefault\x1fchangeable", "listen_port\x1f6432\x1f6432\x1fno"]
    lines += ["auth_file\x1f\x1f\x1fyes", "databases", "name\x1fhost\x1fnew", "orders\x1f\x1fx"]
    found = parse_state(lines)
    assert found == PgbouncerState(
        True,
        {"listen_port": "6432", "auth_file": ""},
        frozenset({"listen_port"}),
        {"orders": {"name": "orders", "host": "", "new": "x"}},
    )
    assert parse_state([]) is None
    assert parse_state(["running", "settings", "databases"]) == PgbouncerState(False)


@given(st.lists(st.text(max_size=30), max_size=8))
def test_any_output_is_a_table_or_none(lines: list[str]) -> None:
    assert all(isinstance(row, dict) for row in table(lines))
    parse_state(["running", *lines])
