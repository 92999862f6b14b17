"""ScyllaDB before any host: files from a fixed environment, and what is refused."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from deploys.components.scylla import deploy, files
from mainstay import components
from mainstay.errors import UsageError
from mainstay.inventory import Environment, load, loading
from mainstay.lab.overlay import HostOverlay, Overlay
from tests.plan.harness import on
from tests.plan.scylla import FIRST, LAST, NONE, SOURCE, SYSTEM, environment, messages, project
from tests.unit.archive_keys import FINGERPRINT_ONE, FINGERPRINT_TWO, ONE, TWO
from tests.unit.inventories import Edit


@pytest.fixture(scope="module")
def env(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Environment]:
    with pytest.MonkeyPatch.context() as patch:
        yield environment(tmp_path_factory.mktemp("cluster"), patch)


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


def test_what_else_runs_on_a_node_must_fit_beside_it(tmp_path: Path) -> None:
    """A second cache host is told of too."""
    root = project(tmp_path, ("production.yaml", "roles: [scylla]", "roles: [scylla, cache]"))
    assert (
        "hosts.tchat-scylla-1.memory: found 16G, less than 2 redis.maxmemory x 1G + scylla --memory 14848M = 16896M, "
        "expected the sum of what runs there at least"
    ) in messages(root)


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
