"""Replication before any host: what is refused, files of both ends, and what a replica may not have less of."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from deploys.components.postgres import access
from deploys.components.postgres import files as cluster_files
from deploys.components.postgres.model import section as cluster
from deploys.components.replication import files
from deploys.operations import replication
from facts.files import FileStates, FileText
from facts.postgres import PgSettings
from mainstay import components
from mainstay.engine import batches
from mainstay.files import FileSet
from mainstay.inventory import Environment
from tests.plan.harness import plan
from tests.plan.replicated import HOSTS, KIT, REPLICA, REPLICAS, SECTION, replicated
from tests.unit.inventories import Edit, copied, loaded, messages


@pytest.fixture
def env(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Environment:
    return replicated(tmp_path, monkeypatch)


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
