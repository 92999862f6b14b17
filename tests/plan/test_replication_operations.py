"""Replication against fixed facts: the role and its slots, a replica that is built, its certificate."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deploys.components.postgres import files as cluster_files
from deploys.components.replication import grants
from deploys.operations import internal_ca, postgres, replication
from facts.internal_ca import InternalCertificate, TlsFiles
from facts.postgres import PgRoles
from facts.replication import PgReplica, PgSlots, ReplicaState, SlotState, parse_replica
from mainstay.errors import MainstayError
from mainstay.inventory import Environment, Host
from mainstay.plan_notes import Note
from tests.plan.harness import Planned, plan
from tests.plan.replicated import KIT, replicated


@pytest.fixture
def env(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Environment:
    return replicated(tmp_path, monkeypatch)


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
