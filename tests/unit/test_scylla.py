"""ScyllaDB's pure parts: what nodetool and cqlsh print, whose key signs, when nodes repair, what a node is given."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deploys.components.scylla import sizing
from deploys.components.scylla.signing import fingerprints
from facts.scylla import (
    Node,
    NodeState,
    ScyllaNode,
    ScyllaSchema,
    ScyllaStatus,
    ScyllaVersion,
    json_rows,
    parse_info,
    parse_node,
    parse_schema,
    parse_snapshots,
    parse_status,
    parse_versions,
    table_rows,
)
from mainstay.inventory import Host
from tests.unit.archive_keys import FINGERPRINT_ONE, FINGERPRINT_TWO, ONE, TWO

IDS = [
    "0c5cdba4-2f6d-4e0b-a0c4-0a4b6e9f2f11",
    "1d6dcba4-2f6d-4e0b-a0c4-0a4b6e9f2f12",
    "2e7ecba4-2f6d-4e0b-a0c4-0a4b6e9f2f13",
]
STATUS = f"""\
Datacenter: dc1
===============
Status=Up/Down
|/ State=Normal/Leaving/Joining/Moving
--  Address       Load       Tokens       Owns    Host ID                               Rack
UN  198.51.100.61  104.68 KB  256          ?       {IDS[0]}  rack1
DN  198.51.100.62  1.2 GB     256          ?       {IDS[1]}  rack1
Datacenter: dc2
===============
Status=Up/Down
|/ State=Normal/Leaving/Joining/Moving
--  Address       Load       Tokens       Owns    Host ID                               Rack
UJ  198.51.100.63  ?          256          33.3%   {IDS[2]}  rack2

Note: Non-system keyspaces don't have the same replication settings, effective ownership information is meaningless
""".splitlines()
WORDS = st.from_regex(r"[a-z][a-z0-9_]{0,11}", fullmatch=True)


def test_each_node_has_its_datacentre_and_a_node_that_is_down_is_seen() -> None:
    nodes = parse_status(STATUS)
    assert nodes[0] == Node("U", "N", "198.51.100.61", "104.68 KB", "256", "?", IDS[0], "rack1", "dc1")
    assert [(node.word, node.datacenter, node.rack, node.load) for node in nodes] == [
        ("UN", "dc1", "rack1", "104.68 KB"),
        ("DN", "dc1", "rack1", "1.2 GB"),
        ("UJ", "dc2", "rack2", "?"),
    ]


NODES = st.builds(
    Node,
    status=st.sampled_from("UD"),
    state=st.sampled_from("NLJM"),
    address=st.ip_addresses().map(str),
    load=st.one_of(st.just("?"), st.floats(0, 999).map(lambda size: f"{size:.2f} GB")),
    tokens=st.integers(1, 512).map(str),
    owns=st.one_of(st.just("?"), st.floats(0, 100).map(lambda part: f"{part:.1f}%")),
    host_id=st.uuids().map(str),
    rack=WORDS,
    datacenter=WORDS,
)


@given(st.lists(NODES, max_size=9), st.lists(st.text(max_size=60), max_size=9))
def test_what_nodetool_prints_is_read_among_whatever_else_it_prints(nodes: list[Node], others: list[str]) -> None:
    lines: list[str] = []
    for node in nodes:
        row = f"{node.word}  {node.address}  {node.load}  {node.tokens}  {node.owns}  {node.host_id}  {node.rack}"
        lines += [f"Datacenter: {node.datacenter}", "=======", "--  Address  Load  Tokens  Owns  Host ID  Rack", row]
    assert parse_status(lines) == nodes
    noise = [text for text in others if not text.startswith("Datacenter:")]
    assert [node.host_id for node in parse_status([*noise, *lines])][-len(nodes) or 0 :] == [n.host_id for n in nodes]


def test_info_versions_and_snapshots() -> None:
    info = [
        "ID                     : 0c5c",
        "Gossip active          : true",
        "Uptime (seconds)       : 42",
        "nothing",
        " : x",
    ]
    assert parse_info(info) == {"ID": "0c5c", "Gossip active": "true", "Uptime (seconds)": "42"}
    described = [
        "Cluster Information:",
        "\tName: shop",
        "\tSchema versions:",
        f"\t\t{IDS[0]}: [198.51.100.61, 198.51.100.62]",
        "\t\tUNREACHABLE: [198.51.100.63]",
    ]
    versions = parse_versions(described)
    assert versions == {IDS[0]: ["198.51.100.61", "198.51.100.62"], "UNREACHABLE": ["198.51.100.63"]}
    listed = [
        "Snapshot Details: ",
        "Snapshot name          Keyspace name  Column family name True size Size on disk",
        "snapshot_20261126_0100 shop           items              0 bytes   4 KB",
        "snapshot_20261125_0100 shop           items              0 bytes   4 KB",
        "",
        "Total TrueDiskSpaceUsed: 0 bytes",
    ]
    assert parse_snapshots(listed) == {"snapshot_20261126_0100", "snapshot_20261125_0100"}
    assert parse_snapshots(["Snapshot Details: ", "There are no snapshots"]) == set()


CELLS = st.text(st.characters(codec="ascii", exclude_categories=["C"], exclude_characters="|"), max_size=12).map(
    str.strip
)


@given(st.lists(WORDS, min_size=1, max_size=5, unique=True), st.data())
def test_a_table_of_cqlsh_is_read_back(names: list[str], data: st.DataObject) -> None:
    row = st.lists(CELLS.filter(bool), min_size=len(names), max_size=len(names))
    rows = data.draw(st.lists(row, max_size=6))
    widths = [max(len(cell) for cell in column) + 2 for column in zip(names, *rows, strict=True)]
    drawn = [
        " | ".join(cell.ljust(width - 1) for cell, width in zip(row, widths, strict=True)) for row in [names, *rows]
    ]
    lines = ["", drawn[0], "-" + "+".join("-" * width for width in widths), *drawn[1:], "", f"({len(rows)} rows)"]
    assert table_rows(lines) == [dict(zip(names, cells, strict=True)) for cells in rows]


JSON = st.dictionaries(WORDS, st.one_of(st.text(max_size=20), st.integers(), st.booleans()), max_size=4)


@given(st.lists(JSON, max_size=6))
def test_objects_are_found_among_headings(rows: list[dict[str, Any]]) -> None:
    lines = [" [json]", "--------", *(f" {json.dumps(row)}" for row in rows), "", f"({len(rows)} rows)"]
    assert json_rows(lines) == rows


TIERED = "SizeTieredCompactionStrategy"
LOCATOR = "org.apache.cassandra.locator.NetworkTopologyStrategy"
SCHEMA = f"""\
== keyspaces

 [json]
------------
 {{"keyspace_name": "shop", "durable_writes": true, "replication": {{"class": "{LOCATOR}", "dc1": "3"}}}}

(1 rows)
== tables

 [json]
------------
 {{"keyspace_name": "shop", "table_name": "items", "compaction": {{"class": "{TIERED}", "bucket_high": "2"}}}}
== roles

 role      | super | login | options
-----------+-------+-------+---------
  mainstay |  True |  True |        {{}}
      shop | False |  True |        {{}}

(2 rows)
== permissions

 role | username | resource        | permission
------+----------+-----------------+------------
 shop |     shop | <keyspace shop> |     SELECT
 shop |     shop | <keyspace shop> |     MODIFY
 shop |     shop | <all keyspaces> |       DROP
 shop |     shop | <table shop.it> |      ALTER

== passwords
shop 0123
== repaired
shop abcd
== end
""".splitlines()


def test_a_schema_is_read_from_its_sections() -> None:
    found = parse_schema(SCHEMA)
    assert found is not None
    assert found.keyspaces == {"shop": ({"class": LOCATOR, "dc1": "3"}, True)}
    assert found.tables == {("shop", "items"): {"class": "SizeTieredCompactionStrategy", "bucket_high": "2"}}
    assert found.roles == {"mainstay": True, "shop": False}
    assert found.permissions == {"shop": {"shop": {"SELECT", "MODIFY"}, "*": {"DROP"}}}
    assert (found.passwords, found.repaired) == ({"shop": "0123"}, {"shop": "abcd"})


@given(st.integers(0, len(SCHEMA) - 2))
def test_what_ends_too_early_is_no_schema(count: int) -> None:
    """A question that broke off must not read as roles that are gone."""
    assert parse_schema(SCHEMA[:count]) is None


def test_a_node_s_words() -> None:
    assert parse_node(["measured", "running", "stale", "admin ours"]) == NodeState(True, True, True, "ours")
    assert parse_node(["running", "admin "]) == NodeState(True, False, False, "")


def test_a_bare_host_answers_every_fact_with_its_default() -> None:
    assert ScyllaStatus().process([]) == ScyllaStatus.default() == []
    assert ScyllaVersion().process(["unknown ok"]) == ScyllaVersion.default() == ""
    assert ScyllaVersion().process(["installed 6.2.3-0.20250119.bff9ddde1283-1"]) == "6.2.3-0.20250119.bff9ddde1283-1"
    assert ScyllaNode().process([]) == ScyllaNode.default() == NodeState()
    assert ScyllaSchema().process([]) is ScyllaSchema.default() is None


# Whose key signs the packages


def test_fingerprints_are_those_that_gnupg_shows() -> None:
    assert fingerprints(ONE) == [FINGERPRINT_ONE]
    assert fingerprints(f"{TWO}\n{ONE}") == [FINGERPRINT_TWO, FINGERPRINT_ONE]
    assert fingerprints(ONE.replace("BLOCK-----\n\n", "BLOCK-----\nComment: an archive\n\n", 1)) == [FINGERPRINT_ONE]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("", "no PGP PUBLIC KEY BLOCK"),
        (ONE.replace("PUBLIC", "PRIVATE"), "no PGP PUBLIC KEY BLOCK"),
        (ONE.replace("mDME", "m!ME"), "a key block that is not base64"),
        (ONE.replace("mDME", "ADME"), "bytes that are no OpenPGP packet"),
        (ONE[: ONE.index("\nsJPy")] + ONE[ONE.index("\n=") :], "a key block that ends too early"),
    ],
)
def test_what_is_no_key_is_said(text: str, found: str) -> None:
    with pytest.raises(ValueError, match=found):
        fingerprints(text)


@given(st.binary(min_size=1, max_size=80))
def test_bytes_that_are_no_key_are_refused_in_a_sentence(data: bytes) -> None:
    head, tail = "-----BEGIN PGP PUBLIC KEY BLOCK-----\n\n", "\n-----END PGP PUBLIC KEY BLOCK-----\n"
    try:
        found = fingerprints(head + base64.b64encode(data).decode() + tail)
    except ValueError as error:
        assert str(error)
    else:
        assert all(len(one) == 40 for one in found)


# What follows from the hosts


def host(memory: int, cores: int) -> Host:
    return Host("node-1", "192.0.2.1", 22, ("scylla",), memory, cores, 2**34, 12)


@pytest.mark.parametrize(
    ("memory", "cores", "given"),
    [(4 * 2**30, 2, (2560, 2)), (16 * 2**30, 4, (14848, 3)), (64 * 2**30, 16, (60948, 15)), (2**30, 1, (256, 1))],
)
def test_a_node_s_share_of_its_host(memory: int, cores: int, given: tuple[int, int]) -> None:
    assert (sizing.memory(host(memory, cores)) >> 20, sizing.cores(host(memory, cores))) == given


@given(st.integers(1, 28), st.integers(0, 1439), st.one_of(st.none(), st.integers(0, 1439)))
def test_nodes_repair_one_after_the_other_and_never_near_a_backup(count: int, start: int, backup: int | None) -> None:
    names = [f"node-{number}" for number in range(count)]
    turns = sizing.turns(names, start, backup)
    assert list(turns) == names
    begins = sorted((turn.minute, turn.most_minutes) for turn in turns.values())
    for (one, most), (two, _) in zip(begins, [*begins[1:], (begins[0][0] + sizing.WEEK, 0)], strict=True):
        assert one + most < two, "a repair is over before the next node's begins"
    for turn in turns.values():
        assert 0 <= turn.minute < sizing.WEEK
        assert turn.most_minutes >= sizing.SPARE
        if backup is not None:
            after = (turn.minute - backup) % sizing.DAY
            assert sizing.AFTER_BACKUP <= after < sizing.DAY - sizing.BEFORE_BACKUP or after == sizing.AFTER_BACKUP


def test_three_nodes_have_the_week_to_themselves() -> None:
    turns = sizing.turns(["a", "b", "c"], 4 * 60, 60)
    assert [turn.calendar for turn in turns.values()] == [
        "Mon *-*-* 04:00:00 UTC",
        "Wed *-*-* 12:00:00 UTC",
        "Fri *-*-* 20:00:00 UTC",
    ]
    assert {turn.most_minutes for turn in turns.values()} == {7 * 24 * 60 // 3 - 15}
