"""Replication before any host: what is refused, files of both ends, and operations against fixed facts."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deploys.components.postgres import access
from deploys.components.postgres import files as cluster_files
from deploys.components.postgres.model import section as cluster
from deploys.components.replication import files, grants
from deploys.operations import internal_ca, postgres, replication
from facts.files import FileStates, FileText
from facts.internal_ca import InternalCertificate, TlsFiles
from facts.postgres import PgRoles, PgSettings
from facts.replication import PgReplica, PgSlots, ReplicaState, SlotState, parse_replica
from mainstay import components
from mainstay.engine import batches
from mainstay.errors import MainstayError
from mainstay.files import FileSet
from mainstay.inventory import Environment, Host
from mainstay.plan_notes import Note
from tests.plan import systems
from tests.plan.harness import Planned, plan
from tests.unit.inventories import Edit, copied, loaded, messages

SECTION: Edit = ("system.yaml", "redis:\n  managed: false ", "replication: {}\n\nredis:\n  managed: false ")
HOSTS = "  eai-cache-1: {address: 198.51.100.41"
REPLICA = "  eai-db-2: {address: 198.51.100.32, roles: [db_replica], memory: 4G, cores: 2, disk: 100G}\n"
REPLICAS: Edit = ("production.yaml", HOSTS, REPLICA + HOSTS)
KIT = "/usr/local/lib/mainstay"


@pytest.fixture
def env(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Environment:
    return systems.pinned(systems.project(tmp_path, monkeypatch, SECTION, REPLICAS))


def text_of(found: list[object], name: str) -> str:
    return next(managed.content for managed in found if managed.path.endswith(name))  # type: ignore[attr-defined]


# The model


@pytest.mark.covers("DF-15")
def test_a_replica_is_never_a_database_of_its_own(tmp_path: Path) -> None:
    assert messages(copied(tmp_path, REPLICAS)) == [
        "replication: found none, and eai-db-2 with role db_replica, "
        "expected a section replication: without one that host would be a database of its own (DF-15)"
    ]


@pytest.mark.parametrize(
    ("edits", "message"),
    [
        (
            [("production.yaml", HOSTS, REPLICA.replace("db_replica", "db") + HOSTS)],
            "hosts.eai-db-2.roles: found db, which eai-db-1 has, "
            "expected one primary; the others are replicas, role db_replica",
        ),
        (
            [("production.yaml", "roles: [db]", "roles: [db, db_replica]")],
            "hosts.eai-db-1.roles: found db and db_replica, expected one of them: a replica is another host",
        ),
        (
            [("system.yaml", "replication: {}", "replication: {user: everydayai_app}")],
            "replication.user: found everydayai_app, which postgres.roles has, expected a role of its own",
        ),
        (
            [("system.yaml", "replication: {}", "replication: {user: postgres}")],
            "replication.user: found 'postgres', expected a name that PostgreSQL does not use itself (DF-14)",
        ),
    ],
)
def test_what_cannot_be_is_refused_before_any_host(tmp_path: Path, edits: list[Edit], message: str) -> None:
    assert message in messages(copied(tmp_path, SECTION, *edits))


def test_a_system_without_replicas_may_be_ready_for_them(tmp_path: Path) -> None:
    env = loaded(copied(tmp_path, SECTION))
    primary = env.hosts["eai-db-1"]
    assert "ssl_cert_file = '/etc/mainstay/postgres-tls/server.crt'" in text_of(
        list(cluster_files.files(env, primary)), "postgresql.conf"
    )


# Files


@pytest.mark.covers("DF-14")
def test_replicas_alone_log_in_for_replication_and_by_tls(env: Environment) -> None:
    rules = [rule.line().split() for rule in access.rules(env, cluster(env))]
    assert [rule for rule in rules if rule[0] not in ("local", "host")] == [
        ["hostssl", "replication", "replicator", "198.51.100.32/32", "scram-sha-256"]
    ]


def test_a_replica_follows_its_primary_by_name_and_address(env: Environment) -> None:
    found = list(files.files(env, env.hosts["eai-db-2"]))
    text = text_of(found, "60-replication.conf")
    for word in (
        "host=eai-db-1 hostaddr=198.51.100.31 port=5432 user=replicator",
        "sslmode=verify-full sslrootcert=/etc/mainstay/postgres-tls/ca.crt",
        "primary_slot_name = 'replica_eai_db_2'",
    ):
        assert word in text
    (password,) = [managed for managed in found if managed.path.endswith("replication.pgpass")]
    assert password.content == "*:*:*:replicator:<secret PG_REPLICATION_PASSWORD@1>\n"
    assert (password.owner, password.mode) == ("postgres", 0o600)
    assert [one.path for one in cluster_files.files(env, env.hosts["eai-db-2"])] == [
        "/etc/postgresql-common/createcluster.d/50-mainstay.conf"
    ]
    assert files.files(env, env.hosts["eai-db-1"]) == []


def test_what_a_replica_has_of_its_own_goes_where_it_becomes_the_primary(env: Environment) -> None:
    replica = {managed.path for managed in files.files(env, env.hosts["eai-db-2"])}
    primary = {managed.path for managed in cluster_files.files(env, env.hosts["eai-db-1"])}
    assert set(cluster_files.left_behind(env)) == replica - primary


@pytest.mark.covers("RP-05")
def test_a_smaller_replica_has_no_less_than_it_may(tmp_path: Path) -> None:
    larger = ("production.yaml", "roles: [db], memory: 8G, cores: 4", "roles: [db], memory: 8G, cores: 16")
    env = loaded(copied(tmp_path, SECTION, REPLICAS, larger))
    found = {setting.name: setting for setting in cluster_files.settings(env, env.hosts["eai-db-2"])}
    assert (found["max_worker_processes"].value, found["shared_buffers"].value) == ("16", "1GB")
    assert "as eai-db-1 has it" in found["max_worker_processes"].reason
    assert found["max_connections"].value == "100"
    assert found["max_slot_wal_keep_size"].value == "20GB"


# What a replica may not have less of than its primary (RP-05)


def effective(**numbers: int) -> dict[str, object]:
    """PgSettings of a server that has these."""
    row = {"unit": None, "vartype": "integer", "context": "postmaster", "source": "default", "pending_restart": False}
    settings = {name: {**row, "setting": str(number)} for name, number in numbers.items()}
    return {"settings": settings, "altered": [], "files": {}}


RAISES = [
    ({"max_connections": 90, "max_worker_processes": 8}, True),
    ({"max_connections": 100, "max_worker_processes": 6}, True),
    ({"max_connections": 100, "max_worker_processes": 8}, False),
    ({"max_connections": 110, "max_worker_processes": 8}, False),
    ({"max_connections": 90, "max_worker_processes": 9}, False),
]
"""What is in effect where 100 and 8 are wanted, and whether something is raised and nothing lowered."""


@pytest.mark.covers("RP-05")
@pytest.mark.parametrize(("numbers", "raises"), RAISES)
def test_a_rollout_raises_replicas_before_their_primary_and_lowers_it_before_them(
    env: Environment, numbers: dict[str, int], raises: bool
) -> None:
    there = {"replica_eai_db_2": {"active": True, "wal_status": "reserved"}}

    def asked(slots: object) -> Any:
        answers = iter([json.dumps(effective(**numbers)), json.dumps(slots)])
        return components.turns(env, list(env.hosts), lambda host, _: next(answers) if host == "eai-db-1" else "")

    turns = asked(there)
    assert turns == ([("db_replica", "db")] if raises else [])
    roles = [batch.role for batch in batches.production(env, env.hosts, turns)]
    assert (roles.index("db_replica") == 0) is raises
    assert asked({}) == [], "a new replica needs its slot, which its primary makes"


def test_nobody_is_asked_where_there_is_no_order_to_choose(env: Environment) -> None:
    def nobody(host: str, command: str) -> str:
        raise AssertionError(f"{host} is asked {command}")

    assert components.turns(env, ["eai-db-1", "eai-app-1"], nobody) == []
    assert components.turns(env, ["eai-db-2"], nobody) == []
    assert components.turns(env, list(env.hosts), lambda *_: "") == [], "no server runs yet"


@pytest.mark.covers("RP-05")
@pytest.mark.parametrize(("numbers", "raises"), RAISES)
@pytest.mark.parametrize("leave", [("--allow-restart", ""), ("", "with --allow-restart")])
def test_a_replica_is_raised_ahead_where_it_may_be_restarted(
    env: Environment, numbers: dict[str, int], raises: bool, leave: tuple[str, str]
) -> None:
    """Its files and a restart, in the operation that its primary waits for."""
    replica = env.hosts["eai-db-2"]
    wanted = files.no_less(env, replica)
    assert wanted == {"max_connections": "100", "max_worker_processes": "8"}
    facts = {PgSettings: PgSettings.parse(effective(**numbers)), FileStates: {}, FileText: None}
    arguments = (15, "main", wanted, leave, FileSet(files.files(env, replica)))
    planned = plan(replication.raised, *arguments, environment=env, member=replica, facts=facts)
    assert bool(planned.commands) is (raises and bool(leave[0]))
    if planned.commands:
        assert [command.split()[-1] for command in planned.commands] == ["r1", "restart"]
        assert planned.commands[-1] == f"{KIT}/postgres-replica 15 main activate restart"
        assert "15/main: has more of what RP-05 names ahead of its primary" in planned.said


def test_a_replica_that_does_not_run_yet_has_nothing_to_raise(env: Environment) -> None:
    arguments = (15, "main", {"max_connections": "100"}, ("postgres.allow_restart", ""), FileSet([]))
    replica = env.hosts["eai-db-2"]
    assert (
        plan(replication.raised, *arguments, environment=env, member=replica, facts={PgSettings: None}).commands == []
    )


# Operations


def test_the_role_may_replicate_and_nothing_else(env: Environment) -> None:
    db = env.hosts["eai-db-1"]
    (wanted,) = grants.roles(env)
    planned = plan(postgres.roles, 15, "main", [wanted], environment=env, member=db, facts={PgRoles: None})
    (stdin,) = planned.stdin
    assert 'ALTER ROLE "replicator" REPLICATION LOGIN;' in stdin
    assert env.secrets.get("PG_REPLICATION_PASSWORD").reveal() not in stdin + planned.said


def slots(env: Environment, found: dict[str, SlotState] | None) -> Planned:
    arguments = (15, "main", ["replica_a", "replica_b"], "replica_")
    db = env.hosts["eai-db-1"]
    return plan(replication.slots, *arguments, environment=env, member=db, facts={PgSlots: found})


def test_slots_that_are_there_are_left_alone(env: Environment) -> None:
    there = {"replica_a": SlotState(True, "reserved"), "replica_b": SlotState(False, None)}
    assert slots(env, there).commands == []
    assert slots(env, there | {"of_a_backup": SlotState(False, "reserved")}).commands == []


def test_slots_are_made_made_anew_and_dropped(env: Environment) -> None:
    planned = slots(env, {"replica_b": SlotState(False, "lost"), "replica_gone": SlotState(False, "extended")})
    (stdin,) = planned.stdin
    assert stdin == (
        "DO $slots$ BEGIN PERFORM pg_create_physical_replication_slot('replica_a', true); "
        "PERFORM pg_drop_replication_slot('replica_b'); "
        "PERFORM pg_create_physical_replication_slot('replica_b', true); "
        "PERFORM pg_drop_replication_slot('replica_gone'); END $slots$;\n"
    )
    assert planned.commands == [f"{KIT}/postgres-control 15 main sql postgres"]


def test_a_slot_in_use_is_never_dropped(env: Environment) -> None:
    planned = slots(
        env,
        {
            "replica_a": SlotState(True, "reserved"),
            "replica_b": SlotState(True, "reserved"),
            "replica_gone": SlotState(True, "reserved"),
        },
    )
    assert planned.commands == []
    text = "the inventory has no such replica, and one uses its slot: left"
    assert planned.notes == [Note("replica_gone", text, pending=True)]


def built(env: Environment, state: ReplicaState) -> Planned:
    arguments = (15, "main", "postgresql@15-main.service", "eai-db-1")
    replica = env.hosts["eai-db-2"]
    return plan(replication.built, *arguments, environment=env, member=replica, facts={PgReplica: state})


FOLLOWS = ReplicaState(data=True, standby=True, started=True, recovering=True, streaming=True)


@pytest.mark.parametrize(
    ("state", "why"),
    [
        (ReplicaState(), "there is no data"),
        (ReplicaState(data=True), "there is an empty cluster"),
        (replace(FOLLOWS, streaming=False, behind=True), "the primary no longer has the WAL that it lacks"),
    ],
)
def test_a_replica_is_built_where_there_is_none(env: Environment, state: ReplicaState, why: str) -> None:
    planned = built(env, state)
    assert planned.commands == [f"{KIT}/postgres-replica 15 main build eai-db-1"]
    assert planned.said.splitlines()[0] == f"15/main: copy of eai-db-1: {why}"


@pytest.mark.parametrize(
    "state",
    [
        FOLLOWS,
        replace(FOLLOWS, streaming=False),
        replace(FOLLOWS, behind=True),
        ReplicaState(data=True, standby=True, started=True),
    ],
)
def test_a_replica_that_may_catch_up_is_left_alone(env: Environment, state: ReplicaState) -> None:
    """Its primary may be away, its server stopped, its last trouble over."""
    assert built(env, state).commands == []


@pytest.mark.covers("DF-14")
@pytest.mark.parametrize(
    ("state", "found"),
    [
        (replace(FOLLOWS, standby=False, recovering=False), "a primary runs here"),
        (ReplicaState(data=True, started=True), "the data here has been a primary's"),
        (ReplicaState(data=True, started=True, behind=True), "the data here has been a primary's"),
    ],
)
def test_what_has_been_a_primary_is_never_replaced(env: Environment, state: ReplicaState, found: str) -> None:
    with pytest.raises(MainstayError, match=f"{found}, expected a replica of eai-db-1"):
        built(env, state)


@given(st.lists(st.sampled_from(["data", "standby", "started", "behind", '{"recovering": true}', "x"]), max_size=6))
def test_what_a_replica_answers_is_read(lines: list[str]) -> None:
    state = parse_replica(lines)
    assert state.data == ("data" in lines)
    assert state.recovering == (True if '{"recovering": true}' in lines else None)


def certified(env: Environment, member: Host, found: TlsFiles) -> Planned:
    arguments = (cluster_files.TLS, "PG_CA", [member.name, member.address], "postgresql@15-main.service")
    return plan(internal_ca.certified, *arguments, environment=env, member=member, facts={InternalCertificate: found})


def test_a_certificate_is_made_once_and_its_key_is_shown_nowhere(env: Environment) -> None:
    db = env.hosts["eai-db-1"]
    first = certified(env, db, TlsFiles())
    assert (
        first.said
        == "/etc/mainstay/postgres-tls/server.crt: new certificate for eai-db-1, 198.51.100.31: there is none"
    )
    (command,) = first.commands
    assert command.startswith("base64 -d | ") and "PRIVATE" not in command + first.said
    issued = internal_ca.issue(env.secrets.get("PG_CA").reveal(), env.name, [db.name, db.address], datetime.now(UTC))
    standing = TlsFiles(issued.authority, issued.certificate, True, "root postgres 640")
    assert certified(env, db, standing).commands == []
    assert "it lacks eai-db-2" in certified(env, env.hosts["eai-db-2"], standing).said
