"""What ScyllaDB's schema lacks, told and sent, against what a cluster answers."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest

from deploys.components.scylla import schema
from deploys.components.scylla.section import section
from deploys.operations import scylla
from facts.scylla import Schema, ScyllaSchema
from mainstay.inventory import Environment
from tests.plan.scylla import CONTROL, environment, planned


@pytest.fixture(scope="module")
def env(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Environment]:
    with pytest.MonkeyPatch.context() as patch:
        yield environment(tmp_path_factory.mktemp("cluster"), patch)


def reveal(name: str) -> str:
    return f"it's {name}"


def settled(env: Environment) -> Schema:
    """As the inventory says, the way Scylla itself writes it."""
    own = section(env)
    strategy = "org.apache.cassandra.locator.NetworkTopologyStrategy"
    messages = {
        "class": "org.apache.cassandra.db.compaction.SizeTieredCompactionStrategy",
        "bucket_high": "2",
        "bucket_low": "0.5",
    }
    return Schema(
        keyspaces={name: ({"class": strategy, "dc1": "3"}, True) for name in own.keyspaces},
        tables={("tchat_messaging", "messages"): messages},
        roles={"mainstay": True} | dict.fromkeys(own.roles, False),
        permissions={
            name: {key: set(given) for key, given in role.keyspaces.items()} for name, role in own.roles.items()
        },
        passwords={name: schema.sha256(reveal(role.password)) for name, role in own.roles.items()},
        repaired={},
    )


def told(env: Environment, found: Schema) -> list[tuple[str, str, str]]:
    return [(change.subject, change.says, change.cql) for change in schema.changes(section(env), found, reveal)]


def test_a_schema_that_is_right_is_left_alone(env: Environment) -> None:
    assert told(env, settled(env)) == []


def test_a_new_cluster_gets_keyspaces_first_then_roles_and_what_they_may_do(env: Environment) -> None:
    found = schema.changes(section(env), Schema(roles={"mainstay": True}), reveal)
    sent = [change for change in found if not change.pending]
    assert sent[0].cql == (
        'CREATE KEYSPACE IF NOT EXISTS "tchat_auth" WITH replication = '
        "{'class': 'NetworkTopologyStrategy', 'dc1': 3} AND durable_writes = true AND tablets = {'enabled': false};"
    )
    assert [change.subject for change in sent[:4]] == list(section(env).keyspaces)
    role, grant = (change for change in sent if change.subject == "tchat_auth" and "KEYSPACE IF" not in change.cql)
    assert role.cql.startswith(
        "CREATE ROLE IF NOT EXISTS \"tchat_auth\" WITH PASSWORD = 'it''s SCYLLA_AUTH_PASSWORD' AND"
    )
    assert "SCYLLA_AUTH_PASSWORD" not in role.says
    assert 'GRANT MODIFY ON KEYSPACE "tchat_auth" TO "tchat_auth";' in grant.cql
    waiting = [(change.subject, change.says) for change in found if change.pending]
    assert waiting == [
        ("tchat_messaging.messages", "no such table yet: it gets its compaction once a service has made it")
    ]


def test_compaction_is_compared_as_scylla_writes_it_and_altered_where_it_differs(env: Environment) -> None:
    found = settled(env)
    found.tables["tchat_messaging", "messages"]["bucket_high"] = "1.5"
    assert told(env, found) == [
        (
            "tchat_messaging.messages",
            "SizeTieredCompactionStrategy (bucket_high 1.5, bucket_low 0.5) -> "
            "SizeTieredCompactionStrategy (bucket_high 2.0, bucket_low 0.5)",
            "ALTER TABLE \"tchat_messaging\".\"messages\" WITH compaction = {'class': 'SizeTieredCompactionStrategy', "
            "'bucket_low': '0.5', 'bucket_high': '2.0'};",
        )
    ]


@pytest.mark.covers("DF-82")
def test_simple_strategy_becomes_network_topology_strategy(env: Environment) -> None:
    found = settled(env)
    old = {"class": "org.apache.cassandra.locator.SimpleStrategy", "replication_factor": "3"}
    found.keyspaces["tchat_messaging"] = (old, True)
    assert told(env, found) == [
        (
            "tchat_messaging",
            "SimpleStrategy -> NetworkTopologyStrategy, 3 in dc1",
            "ALTER KEYSPACE \"tchat_messaging\" WITH replication = {'class': 'NetworkTopologyStrategy', 'dc1': 3} "
            "AND durable_writes = true;",
        )
    ]


def test_durable_writes_that_somebody_switched_off(env: Environment) -> None:
    found = settled(env)
    found.keyspaces["tchat_payment"] = (found.keyspaces["tchat_payment"][0], False)
    assert [change[:2] for change in told(env, found)] == [("tchat_payment", "durable_writes false -> true")]


def test_roles_lose_what_the_inventory_does_not_give_them(env: Environment) -> None:
    found = settled(env)
    found.permissions["tchat_auth"] = {"tchat_auth": {"SELECT", "MODIFY", "CREATE", "ALTER", "DROP"}, "*": {"SELECT"}}
    found.roles["tchat_payment"] = True
    found.roles["somebody"] = False
    assert told(env, found) == [
        ("tchat_auth", "revoke SELECT on *", 'REVOKE SELECT ON ALL KEYSPACES FROM "tchat_auth";'),
        ("tchat_auth", "revoke DROP on tchat_auth", 'REVOKE DROP ON KEYSPACE "tchat_auth" FROM "tchat_auth";'),
        (
            "tchat_payment",
            "no superuser any more",
            "ALTER ROLE \"tchat_payment\" WITH PASSWORD = 'it''s SCYLLA_PAYMENT_PASSWORD' AND LOGIN = true AND "
            "SUPERUSER = false;",
        ),
        ("somebody", "a role that the inventory does not have: left, and yours to drop", ""),
    ]


def test_a_password_that_was_rotated_is_set(env: Environment) -> None:
    found = settled(env)
    found.passwords["tchat_auth"] = schema.sha256("the one before")
    assert [change[:2] for change in told(env, found)] == [("tchat_auth", "password differs")]


def test_statements_go_by_standard_input_and_passwords_nowhere_else(env: Environment) -> None:
    result = planned(env, scylla.defined, {ScyllaSchema: Schema(roles={"mainstay": True})}, section(env))
    assert result.commands == [f"{CONTROL} cql"]
    value = env.secrets.get("SCYLLA_AUTH_PASSWORD").reveal()
    assert f"PASSWORD = '{value}'" in result.stdin[0]
    assert f"-- password tchat_auth {schema.sha256(value)}" in result.stdin[0]
    assert value not in result.said


def test_more_copies_are_filled_by_a_repair_that_somebody_has_to_start(env: Environment) -> None:
    found = settled(env)
    passwords = {name: schema.sha256(env.secrets.get(r.password).reveal()) for name, r in section(env).roles.items()}
    before = schema.fingerprint({"class": "NetworkTopologyStrategy", "dc1": "2"})
    now = schema.fingerprint(found.keyspaces["tchat_payment"][0])
    found = replace(found, passwords=passwords, repaired={"tchat_auth": before, "tchat_payment": now})
    result = planned(env, scylla.defined, {ScyllaSchema: found}, section(env))
    assert result.commands == []
    assert result.said == (
        "tchat_auth: has other copies than when this node last repaired it: start mainstay-scylla-repair, node by node"
    )
    assert [note.pending for note in result.notes] == [True]


def test_no_answer_is_no_schema(env: Environment) -> None:
    assert planned(env, scylla.defined, {ScyllaSchema: None}, section(env)).commands == []
