"""ScyllaDB as its users meet it: every node up, one schema, roles that may do what they need, repaired in time."""

from __future__ import annotations

import re
import shlex
import time
from typing import Any

import pytest

from deploys.components.scylla import files, schema, sizing
from deploys.components.scylla.model import clients
from deploys.components.scylla.section import ADMIN, GC_GRACE_S, REPAIR_UNIT, UNIT, Section, section
from deploys.operations.scylla import control
from facts.scylla import (
    Schema,
    parse_info,
    parse_schema,
    parse_snapshots,
    parse_status,
    parse_versions,
)
from mainstay.inventory import Environment, Host

ON_NODE = pytest.mark.roles("scylla")
STATE = "/var/lib/mainstay/scylla"


@pytest.fixture(scope="module")
def own(environment: Environment) -> Section:
    return section(environment)


@pytest.fixture(scope="module")
def there(host: Any) -> Schema:
    """The schema as the node itself tells it to its superuser."""
    found = parse_schema(host.check_output(control("schema")).splitlines())
    assert found is not None, "the node does not let its superuser in"
    return found


@ON_NODE
def test_the_server_runs_and_starts_at_boot(host: Any) -> None:
    unit = host.service(UNIT)
    assert unit.is_running, f"{UNIT} is not active"
    assert unit.is_enabled, f"{UNIT} does not start at boot"
    restarts = int(host.check_output(f"systemctl show -p NRestarts --value {UNIT}"))
    assert restarts == 0, f"{UNIT} was restarted {restarts} times by systemd"


@ON_NODE
def test_every_node_is_up_and_normal_in_its_place(host: Any, environment: Environment, own: Section) -> None:
    found = {node.address: node for node in parse_status(host.check_output("nodetool status").splitlines())}
    wanted = {node.address: sizing.place(own, node) for node in sizing.nodes(environment)}
    assert set(found) == set(wanted), f"nodes: {', '.join(sorted(found))}"
    for address, place in wanted.items():
        node = found[address]
        assert node.word == "UN", f"{address} is {node.word}"
        assert (node.datacenter, node.rack) == (place.datacenter, place.rack), f"{address} is in {node.datacenter}"


@ON_NODE
def test_all_nodes_have_one_schema(host: Any) -> None:
    versions = parse_versions(host.check_output("nodetool describecluster").splitlines())
    assert len(versions) == 1 and "UNREACHABLE" not in versions, f"schema versions: {versions}"


@ON_NODE
def test_it_speaks_cql_and_gossips(host: Any) -> None:
    info = parse_info(host.check_output("nodetool info").splitlines())
    off = [name for name in ("Gossip active", "Native Transport active") if info.get(name) != "true"]
    assert not off, f"not true: {', '.join(off)}"


@ON_NODE
def test_the_pinned_version_is_installed(host: Any, own: Section) -> None:
    for name in files.PACKAGES:
        version = host.package(name).version
        assert version.startswith(f"{own.version}-"), f"{name} is {version}, not {own.version}"


@ON_NODE
def test_listens_on_its_own_address_and_loopback_only(host: Any, member: Host, own: Section) -> None:
    for port, addresses in (
        (own.cql_port, {member.address}),
        (own.node_port, {member.address}),
        (own.metrics_port, {member.address}),
        (own.api_port, {"127.0.0.1"}),
    ):
        lines = host.check_output(f"ss -Hltn 'sport = :{port}'").splitlines()
        found = {line.split()[3].rpartition(":")[0].strip("[]") for line in lines}
        assert found == addresses, f"port {port} listens on {', '.join(sorted(found)) or 'nothing'}"


@ON_NODE
def test_memory_and_cores_in_effect_are_the_declared_share(host: Any, member: Host) -> None:
    pid = host.check_output(f"systemctl show -p MainPID --value {UNIT}")
    words = host.check_output(f"tr '\\0' ' ' < /proc/{shlex.quote(pid)}/cmdline").split()
    assert words[words.index("--memory") + 1] == f"{sizing.memory(member) >> 20}M"
    assert words[words.index("--smp") + 1] == str(sizing.cores(member))


@ON_NODE
def test_runs_with_the_files_that_stand(host: Any, environment: Environment, member: Host) -> None:
    words = host.check_output(control("state")).split("\n")
    assert "stale" not in words, "the server has run since before its files were last written"
    for managed in files.configuration(environment, member) + files.upkeep(environment, member):
        file = host.file(managed.path)
        found = f"{file.user}:{file.group} {file.mode:o}" if file.exists else "nothing"
        assert found == f"{managed.owner}:{managed.group} {managed.mode:o}", f"{managed.path} is {found}"


@ON_NODE
def test_nobody_gets_in_without_a_password_or_as_cassandra(host: Any, member: Host, own: Section) -> None:
    where = f"{member.address} {own.cql_port}"
    for options in ("", "-u cassandra -p cassandra"):
        done = host.run(f"echo 'SELECT release_version FROM system.local;' | cqlsh {options} {where}")
        assert done.rc != 0, f"cqlsh {options or 'without a login'} is let in"


@ON_NODE
def test_the_superuser_is_ours_and_the_only_one(there: Schema) -> None:
    supers = sorted(name for name, is_super in there.roles.items() if is_super)
    assert supers == [ADMIN], f"superusers: {', '.join(supers)}"


@ON_NODE
def test_the_superuser_is_answered(host: Any, member: Host, own: Section) -> None:
    question = "echo 'SELECT release_version FROM system.local;'"
    done = host.run(f"{question} | cqlsh --credentials {files.CREDENTIALS} {member.address} {own.cql_port}")
    assert re.search(r"\d+\.\d+\.\d+", done.stdout), f"no answer: {done.stderr.strip()}"


@ON_NODE
@pytest.mark.covers("DF-82")
def test_keyspaces_and_their_tables_are_the_inventory_s(there: Schema, own: Section) -> None:
    for name, keyspace in own.keyspaces.items():
        assert name in there.keyspaces, f"no keyspace {name}"
        replication, durable = there.keyspaces[name]
        assert schema.same_replication(keyspace, replication), f"{name}: {replication}"
        assert durable == keyspace.durable_writes, f"{name}: durable_writes is {durable}"
        for table, wanted in keyspace.tables.items():
            found = there.tables.get((name, table))
            assert found is None or schema.same_compaction(wanted.compaction, found), f"{name}.{table}: {found}"


@ON_NODE
def test_roles_may_do_what_the_inventory_says_and_no_more(there: Schema, own: Section) -> None:
    assert set(there.roles) == {ADMIN, *own.roles}, f"roles: {', '.join(sorted(there.roles))}"
    for name, role in own.roles.items():
        wanted = {keyspace: set(given) for keyspace, given in role.keyspaces.items()}
        assert there.permissions.get(name, {}) == wanted, f"{name}: {there.permissions.get(name, {})}"


@ON_NODE
@pytest.mark.covers("DF-06")
def test_it_repairs_in_its_own_turn(host: Any, environment: Environment, member: Host, own: Section) -> None:
    timer = host.service(f"{REPAIR_UNIT}.timer")
    assert timer.is_running and timer.is_enabled, "the timer does not run"
    said = host.check_output(f"systemctl show -p TimersCalendar --value {REPAIR_UNIT}.timer")
    turn = sizing.turns_of(environment, own)[member.name]
    assert turn.calendar in said, f"the timer says {said}, not {turn.calendar}"
    result = host.check_output(f"systemctl show -p Result --value {REPAIR_UNIT}.service")
    assert result == "success", f"the last repair ended with {result}"


@ON_NODE
@pytest.mark.covers("DF-06")
def test_each_keyspace_was_repaired_before_what_was_deleted_could_come_back(host: Any, own: Section) -> None:
    """A node that has not had its first turn has nothing to come back."""
    joined = host.file("/var/lib/scylla/data/system").mtime.timestamp()
    for name in own.keyspaces:
        mark = host.file(f"{STATE}/repaired/{name}")
        last = mark.mtime.timestamp() if mark.exists else joined
        days = (time.time() - last) / 86400
        assert days < GC_GRACE_S / 86400, f"{name} was last repaired {days:.1f} days ago"


@ON_NODE
@pytest.mark.covers("DF-05")
def test_snapshots_do_not_pile_up(host: Any, own: Section) -> None:
    tags = parse_snapshots(host.check_output("nodetool listsnapshots").splitlines())
    # A week passes between two turns of the node.
    oldest = time.time() - own.keep_snapshots - 8 * 86400
    for tag in tags:
        paths = host.check_output(f"ls -d /var/lib/scylla/data/*/*/snapshots/{shlex.quote(tag)}").split()
        age = (time.time() - host.file(paths[0]).mtime.timestamp()) / 86400
        assert host.file(paths[0]).mtime.timestamp() > oldest, f"the snapshot {tag} is {age:.0f} days old"


@pytest.mark.roles("web", "db", "cache", "monitoring")
def test_the_nodes_cannot_be_reached_from_here(host: Any, environment: Environment, member: Host, own: Section) -> None:
    """By the firewall: metrics are for monitoring hosts, CQL for hosts that run services."""
    if set(clients(environment)) & set(member.roles):
        return
    for node in sizing.nodes(environment):
        for port in (own.cql_port, own.node_port):
            # One that is still to be set up refuses, which is an answer and no connection.
            connects = host.run(f"timeout 2 bash -c '</dev/tcp/{node.address}/{port}'").rc == 0
            assert not connects, f"{node.name} can be reached at {port}"
