"""What ScyllaDB's operations send, against fixed facts."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest

from deploys.operations import scylla
from facts.scylla import Node, NodeState, ScyllaNode, ScyllaStatus, ScyllaVersion
from facts.units import UnitState, UnitStates
from mainstay.inventory import Environment
from tests.plan.scylla import CONTROL, environment, planned


@pytest.fixture(scope="module")
def env(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Environment]:
    with pytest.MonkeyPatch.context() as patch:
        yield environment(tmp_path_factory.mktemp("cluster"), patch)


RUNS = {"scylla-server.service": UnitState("enabled", "active", "running", "success", 0, 42)}


def test_a_bare_host_starts_by_the_script_that_waits_for_its_turn(env: Environment) -> None:
    found = planned(env, scylla.joined, {UnitStates: {}}, 3)
    assert found.commands == [
        "/usr/local/lib/mainstay/journal unit r1 scylla-server.service",
        "systemctl enable --quiet scylla-server.service",
        f"{CONTROL} start",
    ]
    assert "irreversible: ScyllaDB node joined its cluster" in found.said


def test_a_node_that_runs_is_left_alone_and_one_that_is_down_is_named(env: Environment) -> None:
    up = Node("U", "N", "198.51.100.61", "1 GB", "256", "?", "0c5cdba4-2f6d-4e0b-a0c4-0a4b6e9f2f11", "rack1", "dc1")
    found = planned(env, scylla.joined, {UnitStates: RUNS, ScyllaStatus: [up, replace(up, status="D")]}, 3)
    assert found.commands == []
    assert found.said == "scylla-server.service: of 3 nodes: 198.51.100.61 is DN"
    assert planned(env, scylla.joined, {UnitStates: RUNS, ScyllaStatus: [up]}, 3).said == ""


@pytest.mark.parametrize(
    ("state", "leave", "commands", "said"),
    [
        (NodeState(running=True), ("", "in the window"), [], ""),
        (NodeState(stale=True), ("", "in the window"), [], ""),
        (NodeState(running=True, stale=True), ("", "in the window"), [], "waits for a restart: in the window"),
        (NodeState(running=True, stale=True), ("--allow-restart", ""), [f"{CONTROL} restart"], "--allow-restart"),
    ],
)
def test_files_that_are_newer_than_the_server_wait_for_leave(
    env: Environment, state: NodeState, leave: tuple[str, str], commands: list[str], said: str
) -> None:
    found = planned(env, scylla.settled, {ScyllaNode: state}, leave)
    assert found.commands == commands
    assert said in found.said
    assert all(note.pending for note in found.notes) == (not commands)


@pytest.mark.parametrize(
    ("state", "commands"),
    [
        (NodeState(), []),
        (NodeState(running=True, admin="ours"), []),
        (NodeState(running=True, admin="default"), [f"{CONTROL} admin"]),
        (NodeState(running=True), [f"{CONTROL} admin"]),
    ],
)
def test_cassandra_s_place_is_taken(env: Environment, state: NodeState, commands: list[str]) -> None:
    assert planned(env, scylla.administered, {ScyllaNode: state}).commands == commands


def test_the_disk_is_measured_once(env: Environment) -> None:
    assert planned(env, scylla.measured, {ScyllaNode: NodeState()}).commands == [f"{CONTROL} measure"]
    assert planned(env, scylla.measured, {ScyllaNode: NodeState(measured=True)}).commands == []


@pytest.mark.parametrize(("found", "said"), [("", ""), ("6.2.3-0.1-1", ""), ("6.1.0-0.1-1", "upgrade node by node")])
def test_another_version_is_told_and_left(env: Environment, found: str, said: str) -> None:
    result = planned(env, scylla.versioned, {ScyllaVersion: found}, "6.2.3")
    assert result.commands == []
    assert said in result.said and bool(result.said) == bool(said)
