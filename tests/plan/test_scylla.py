"""ScyllaDB before any host: files from a fixed environment, what is refused, what is sent against fixed facts."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from deploys.components.scylla import deploy, files, schema
from deploys.components.scylla.section import section
from deploys.operations import scylla
from facts.scylla import Node, NodeState, Schema, ScyllaNode, ScyllaSchema, ScyllaStatus, ScyllaVersion
from facts.units import UnitState, UnitStates
from mainstay import components
from mainstay.errors import InventoryError, UsageError
from mainstay.inventory import Environment, Host, load, loading
from mainstay.lab.overlay import HostOverlay, Overlay
from mainstay.secrets import SecretStore
from mainstay.secrets.needed import needed_secrets
from tests.plan.harness import Planned, on, plan
from tests.unit.archive_keys import FINGERPRINT_ONE, FINGERPRINT_TWO, ONE, TWO
from tests.unit.inventories import SHIPPED, Edit
from tests.unit.secret_stores import new_identity

SYSTEM = "tchat"
FIRST, LAST = "tchat-scylla-1", "tchat-scylla-3"
CONTROL = "/usr/local/lib/mainstay/scylla-control"
NONE = "source: null "
SOURCE = (
    "source: {uri: https://packages.example.test/scylla, suite: stable, components: [main], key: archive.asc, "
    f"fingerprint: {FINGERPRINT_ONE}}} "
)


def project(folder: Path, *edits: Edit) -> Path:
    """A copy of a shipped system that has ScyllaDB, edited, with the key of an archive; no releases, no secrets."""
    target = folder / "inventories" / SYSTEM
    target.mkdir(parents=True)
    for name in ("system.yaml", "staging.yaml", "production.yaml"):
        shutil.copy(SHIPPED / SYSTEM / name, target / name)
    (target / "releases.yaml").write_text("releases: {}\n")
    (target / "archive.asc").write_text(ONE)
    for file, old, new in edits:
        text = (target / file).read_text()
        assert old in text, f"{file} no longer holds {old!r}"
        (target / file).write_text(text.replace(old, new, 1))
    return folder


def messages(root: Path, env: str = "production") -> list[str]:
    """What loading finds wrong, without file and line."""
    with pytest.raises(InventoryError) as error:
        load(SYSTEM, env, root=root)
    return [str(problem).removeprefix(f"{problem.file}: ") for problem in error.value.problems]


@pytest.fixture(scope="module")
def env(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Environment]:
    """Production, with a source of packages and every secret made."""
    folder = tmp_path_factory.mktemp("cluster")
    with pytest.MonkeyPatch.context() as patch:
        new_identity(folder, patch)
        root = project(folder / "p", ("system.yaml", NONE, SOURCE))
        store = SecretStore.open(root / f"inventories/{SYSTEM}/secrets.production.yaml")
        by_hand = store.generate(needed_secrets(load(SYSTEM, "production", root=root))).by_hand
        store.update({name: f"https://hooks.example.test/{name}" for name in by_hand})
        yield load(SYSTEM, "production", root=root)


@pytest.fixture
def member(env: Environment) -> Host:
    return env.hosts[LAST]


def text_of(env: Environment, path: str, name: str = FIRST) -> str:
    return next(managed.content for managed in files.files(env, env.hosts[name]) if managed.path == path)


# Files


@pytest.mark.parametrize("name", [FIRST, LAST])
def test_a_node_listens_on_its_own_address_and_asks_for_passwords(env: Environment, name: str) -> None:
    config = yaml.safe_load(text_of(env, files.CONFIG, name))
    assert config["listen_address"] == config["rpc_address"] == config["prometheus_address"] == env.hosts[name].address
    assert config["api_address"] == "127.0.0.1"
    assert (config["authenticator"], config["authorizer"]) == ("PasswordAuthenticator", "CassandraAuthorizer")
    assert (config["native_transport_port"], config["storage_port"]) == (9042, 7000)
    assert config["endpoint_snitch"] == "GossipingPropertyFileSnitch"
    assert "replace_node_first_boot" not in config


def test_every_node_asks_the_same_first_node(env: Environment) -> None:
    found = {
        yaml.safe_load(text_of(env, files.CONFIG, host.name))["seed_provider"][0]["parameters"][0]["seeds"]
        for host in env.hosts_of("scylla")
    }
    assert found == {env.hosts[FIRST].address}


def test_memory_and_cores_follow_from_the_declared_size(env: Environment) -> None:
    assert text_of(env, "/etc/scylla.d/memory.conf").splitlines()[-1] == 'MEM_CONF="--memory 14848M"'
    assert text_of(env, "/etc/scylla.d/cpuset.conf").splitlines()[-1] == 'CPUSET="--smp 3"'


def test_each_node_has_its_own_turn_to_repair(env: Environment) -> None:
    timer = "/etc/systemd/system/mainstay-scylla-repair.timer"
    turns = [re.search("OnCalendar=(.*)", text_of(env, timer, host.name)) for host in env.hosts_of("scylla")]
    assert len({turn[1] for turn in turns if turn}) == 3
    service = text_of(env, "/etc/systemd/system/mainstay-scylla-repair.service")
    assert "scylla-control upkeep" in service and "TimeoutStartSec=" in service


def test_apt_takes_one_version_signed_by_one_key(env: Environment) -> None:
    sources = text_of(env, "/etc/apt/sources.list.d/scylla.sources").splitlines()
    assert {"URIs: https://packages.example.test/scylla", f"Signed-By: {files.KEYRING}"} <= set(sources)
    assert text_of(env, files.KEYRING) == ONE
    pin = text_of(env, "/etc/apt/preferences.d/scylla")
    assert "Pin: version 6.2.3-*\nPin-Priority: 1001" in pin


def test_the_admin_s_password_is_root_s_alone_and_only_a_placeholder_here(env: Environment) -> None:
    (found,) = (managed for managed in files.files(env, env.hosts[FIRST]) if managed.path == files.CREDENTIALS)
    assert (found.owner, found.group, found.mode) == ("root", "root", 0o600)
    assert "password = <secret SCYLLA_ADMIN_PASSWORD@1>" in found.content


def test_ports_are_open_to_those_who_need_them(env: Environment) -> None:
    mine = {one.what: one for one in env.listeners(env.hosts[FIRST]) if one.what.startswith("scylla")}
    assert mine["scylla (cql)"].from_roles == ("app", "scylla")
    assert mine["scylla (nodes)"].from_roles == ("scylla",)
    assert mine["scylla (metrics)"].from_roles == ("monitoring",)
    assert mine["scylla (api)"].scope == "loopback"
    assert not [one for one in env.listeners(env.hosts["tchat-db-1"]) if one.what.startswith("scylla")]


# The model

THREE = "tchat_auth: {replicas: {dc1: 3}}"


@pytest.mark.covers("DF-82")
@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (
            ("production.yaml", THREE, "tchat_auth: {replicas: {dc1: 4}}"),
            "scylla.keyspaces.tchat_auth.replicas.dc1: found 4 copies on 3 nodes, "
            "expected 3 at most, one a node (DF-82)",
        ),
        (
            ("production.yaml", THREE, "tchat_auth: {replicas: {dc2: 3}}"),
            "scylla.keyspaces.tchat_auth.replicas.dc2: found the datacentre 'dc2', expected one of dc1",
        ),
        (
            ("system.yaml", "bucket_high: 2.0, bucket_low: 0.5", "bucket_high: 0.5, bucket_low: 2.0"),
            "scylla.keyspaces.tchat_messaging.tables.messages.compaction: found bucket_low 2, bucket_high 0.5, "
            "expected bucket_low < bucket_high",
        ),
        (
            ("system.yaml", "{class: SizeTieredCompactionStrategy, ", "{class: LeveledCompactionStrategy, "),
            "scylla.keyspaces.tchat_messaging.tables.messages.compaction: found bucket_high, bucket_low, "
            "expected options of LeveledCompactionStrategy: sstable_size_in_mb",
        ),
        (
            ("system.yaml", "{class: SizeTieredCompactionStrategy, ", "{class: SizeTiered, "),
            "scylla.keyspaces.tchat_messaging.tables.messages.compaction.class: found 'SizeTiered', expected "
            "'SizeTieredCompactionStrategy', 'LeveledCompactionStrategy', 'TimeWindowCompactionStrategy' or "
            "'IncrementalCompactionStrategy'",
        ),
        (
            ("system.yaml", "    tchat_auth: {password: SCYLLA", "    cassandra: {password: SCYLLA"),
            "scylla.roles.cassandra: found the role cassandra, expected another name: cassandra and mainstay are the "
            "component's",
        ),
        (
            ("system.yaml", "keyspaces: {tchat_auth: [SELECT", "keyspaces: {tchat_oath: [SELECT"),
            "scylla.roles.tchat_auth.keyspaces.tchat_oath: found 'tchat_oath', expected one of scylla.keyspaces",
        ),
        (
            ("system.yaml", "version: 6.2.3 ", "version: 5.4.1 "),
            "scylla.version: found '5.4.1', expected a whole version from 6.1.0 on, such as 6.2.3",
        ),
        (
            ("production.yaml", "roles: [scylla], memory: 16G", "roles: [scylla], memory: 4G"),
            "hosts.tchat-scylla-1.memory: found 4G for 4 cores, 853 MiB for each that Scylla uses, "
            "expected 1 GiB for each at least (scylla.developer_mode)",
        ),
        (
            ("production.yaml", "scylla:\n", "scylla:\n  seeds: [tchat-db-1]\n"),
            "scylla.seeds[0]: found 'tchat-db-1', expected one of tchat-scylla-1, tchat-scylla-2, tchat-scylla-3",
        ),
        (
            ("system.yaml", NONE, SOURCE.replace(FINGERPRINT_ONE, FINGERPRINT_TWO)),
            f"scylla.source.fingerprint: found {FINGERPRINT_ONE}, expected {FINGERPRINT_TWO}, "
            "and no other key beside it",
        ),
        (
            ("system.yaml", NONE, SOURCE.replace("archive.asc", "other.asc")),
            "scylla.source.key: found no file inventories/tchat/other.asc, expected the public key there",
        ),
    ],
)
def test_what_cannot_be_is_refused_before_any_host(tmp_path: Path, edit: Edit, message: str) -> None:
    assert messages(project(tmp_path, edit)) == [message]


def test_a_second_key_in_the_file_is_refused(tmp_path: Path) -> None:
    root = project(tmp_path, ("system.yaml", NONE, SOURCE))
    (root / f"inventories/{SYSTEM}/archive.asc").write_text(ONE + TWO)
    assert messages(root) == [
        f"scylla.source.fingerprint: found {FINGERPRINT_ONE}, {FINGERPRINT_TWO}, "
        f"expected {FINGERPRINT_ONE}, and no other key beside it"
    ]


def test_a_node_that_takes_a_dead_one_s_place_asks_another(tmp_path: Path) -> None:
    dead = "0c5cdba4-2f6d-4e0b-a0c4-0a4b6e9f2f11"
    root = project(tmp_path, ("production.yaml", "scylla:\n", f"scylla:\n  replaces: {{{FIRST}: {dead}}}\n"))
    env = load(SYSTEM, "production", root=root)
    config = yaml.safe_load(text_of(env, files.CONFIG))
    assert config["replace_node_first_boot"] == dead
    assert config["seed_provider"][0]["parameters"][0]["seeds"] == env.hosts["tchat-scylla-2"].address
    root = project(
        tmp_path / "own",
        ("production.yaml", "scylla:\n", f"scylla:\n  replaces: {{{FIRST}: {dead}}}\n  seeds: [{FIRST}]\n"),
    )
    assert messages(root) == [
        f"scylla.replaces: found {FIRST}, and no seed beside, "
        "expected a seed that is alive: it tells a node whose place it takes"
    ]


# Where packages come from, and where there is no ScyllaDB


def test_a_host_says_in_one_sentence_that_nobody_said_where_packages_come_from(tmp_path: Path) -> None:
    env = load(SYSTEM, "production", root=project(tmp_path))
    sentence = (
        "scylla.source: found none, expected an apt source with its key: no release of Debian has ScyllaDB "
        "(docs/components/scylla.md)"
    )
    for asked in (lambda: deploy.needs(env, env.hosts[FIRST]), deploy.before_packages._inner):
        with on(env, env.hosts[FIRST], {}), pytest.raises(UsageError) as error:
            asked()
        assert str(error.value) == sentence


def test_the_lab_goes_on_without_it_and_the_real_world_does_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "key.pub").write_text("ssh-ed25519 " + "A" * 60 + " lab\n")
    places = {f"production/{FIRST}": HostOverlay("198.18.0.11", 22, 12)}
    overlay = Overlay("lab", tmp_path / "key", tmp_path / "known_hosts", places, ["scylla"])
    monkeypatch.setattr(loading.stores, "overlay", lambda lab, system: overlay)
    root = project(tmp_path / "p")
    real, lab = (load(SYSTEM, "production", root=root, lab=name) for name in (None, "lab"))
    assert "scylla" in components.chosen(real, real.hosts[FIRST])
    assert components.chosen(lab, lab.hosts[FIRST]) == [
        stem for stem in components.chosen(real, real.hosts[FIRST]) if stem != "scylla"
    ]
    assert lab.unproven == {"scylla": ["tchat-scylla-1", "tchat-scylla-2", "tchat-scylla-3"]}
    assert not [managed for managed in components.rendered(lab, lab.hosts[FIRST]) if "scylla" in managed.path]


# Operations against fixed facts


def planned(env: Environment, operation: Any, facts: dict[type, Any], *arguments: Any) -> Planned:
    return plan(operation, *arguments, environment=env, member=env.hosts[LAST], facts=facts)


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


# The schema


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


# The host's own script, as far as it goes without ScyllaDB

SCRIPT = Path(__file__).parents[2] / "templates/hostkit/scylla-control"


@pytest.fixture
def node(tmp_path: Path, env: Environment) -> Any:
    """Runs the host's script with programs that answer as the test says; gives what it did and said."""
    conf, bin_ = tmp_path / "scylla.conf", tmp_path / "bin"
    bin_.mkdir()

    def run(
        verb: str, *, others: str = "", before: str = "", data: bool = False, **programs: str
    ) -> subprocess.CompletedProcess[str]:
        text = files._control(env, section(env), env.hosts[FIRST])
        text = re.sub(r"(?m)^before=.*$", f'before="{before}"', text)
        conf.write_text(
            re.sub(r"(?m)^others=.*$", f'others="{others}"', text) + f"cql_port={programs.pop('port', '1')}\n"
        )
        (tmp_path / "data").mkdir(exist_ok=True)
        if data:
            (tmp_path / "data/system").mkdir(exist_ok=True)
        for name, body in {
            "systemctl": "exit 0",
            "nodetool": "exit 0",
            "cqlsh": "exit 1",
            "ip": "exit 0",
            **programs,
        }.items():
            (bin_ / name).write_text(f'#!/bin/bash\necho {name} "$@" >> {tmp_path}/calls\n{body}\n')
            (bin_ / name).chmod(0o755)
        script = SCRIPT.read_text().replace("/etc/mainstay/scylla.conf", str(conf))
        script = script.replace("/var/lib/scylla/data", str(tmp_path / "data")).replace(
            "/var/lib/mainstay", str(tmp_path)
        )
        (tmp_path / "control").write_text(script.replace("/run/mainstay", str(tmp_path / "run")))
        surroundings = {"PATH": f"{bin_}:/usr/sbin:/usr/bin:/sbin:/bin"}
        return subprocess.run(
            ["bash", str(tmp_path / "control"), verb],
            env=surroundings,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )

    calls = tmp_path / "calls"
    run.calls = lambda: calls.read_text().splitlines() if calls.exists() else []  # type: ignore[attr-defined]
    return run


def test_a_first_node_without_data_makes_no_second_cluster(node: Any) -> None:
    """Its disk was lost, and the others run: whoever starts it as it is has two clusters (seeds)."""
    import socket

    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        done = node("start", others="127.0.0.1", port=str(other.getsockname()[1]))
    assert done.returncode == 1
    assert done.stderr.startswith(
        "mainstay: no data here, and 127.0.0.1 runs: a first node would make a second cluster"
    )
    assert not [call for call in node.calls() if call.startswith("systemctl start")]


def test_a_node_is_not_restarted_while_another_is_down(node: Any) -> None:
    done = node("restart", others="192.0.2.9", data=True, nodetool='echo "DN  192.0.2.9  1 GB  256  ?  x  rack1"')
    assert done.returncode == 1
    assert done.stderr.startswith("mainstay: 192.0.2.9 is not UN")
    assert node.calls() == ["nodetool status"]


def test_a_disk_that_scylla_does_not_take_is_refused(node: Any, env: Environment) -> None:
    address = env.hosts[FIRST].address
    done = node("check", ip=f'echo "2: eth0 inet {address}/24"', stat="echo ext2/ext3")
    assert (done.returncode, "expected xfs" in done.stderr) == (1, True)
    assert node("check", ip=f'echo "2: eth0 inet {address}/24"', stat="echo xfs").returncode == 0
    assert "no interface has the address" in node("check", stat="echo xfs").stderr


@pytest.mark.covers("DF-06")
def test_upkeep_repairs_each_keyspace_cleans_up_after_a_new_node_and_keeps_its_marks(
    node: Any, env: Environment, tmp_path: Path
) -> None:
    ids = ["0c5cdba4-2f6d-4e0b-a0c4-0a4b6e9f2f11", "1d6dcba4-2f6d-4e0b-a0c4-0a4b6e9f2f12"]
    row = '"UN  192.0.2.{0}  1 GB  256  ?  {1}  rack1"'
    replication = '{"replication": {"class": "org.apache.cassandra.locator.NetworkTopologyStrategy", "dc1": "3"}}'
    answers = f"cat > /dev/null; echo ' {replication}'"
    (tmp_path / "scylla").mkdir()
    (tmp_path / "scylla/nodes").write_text(f"{ids[0]}\n")
    old = tmp_path / "data/shop/items/snapshots/snapshot_old"
    old.mkdir(parents=True)
    subprocess.run(["touch", "-d", "9 days ago", str(old)], check=True)
    status = "; ".join(f"echo {row.format(number, one)}" for number, one in enumerate(ids))
    both = {"nodetool": f'[ "$1" != status ] || {{ {status}; }}', "cqlsh": answers}
    done = node("upkeep", **both)
    assert done.returncode == 0, done.stderr
    calls = [call for call in node.calls() if call.startswith("nodetool") and "status" not in call]
    keyspaces = list(section(env).keyspaces)
    assert calls == [
        "nodetool cleanup",
        *(f"nodetool repair -pr {k}" for k in keyspaces),
        "nodetool clearsnapshot -t snapshot_old",
    ]
    kept = (tmp_path / "scylla/repaired/tchat_auth").read_text().split()
    assert kept == ["tchat_auth", schema.fingerprint({"class": "NetworkTopologyStrategy", "dc1": "3"})]
    (tmp_path / "calls").unlink()
    assert node("upkeep", **both).returncode == 0
    assert "nodetool cleanup" not in node.calls(), "nobody has joined since"


def test_a_repair_that_fails_leaves_no_mark(node: Any, tmp_path: Path) -> None:
    done = node("upkeep", nodetool='[ "$1" != repair ] || exit 1', cqlsh="cat > /dev/null")
    assert (done.returncode, done.stderr) == (1, "mainstay: repair of tchat_auth failed\n")
    assert not list((tmp_path / "scylla/repaired").iterdir())
