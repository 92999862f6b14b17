"""Replicas on real hosts: three hosts from bare by one apply, rows that arrive, a replica lost and made again, and each
check seen to fail."""

from __future__ import annotations

import base64
import shlex
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

import pytest

from deploys.operations.internal_ca import issue
from mainstay.inventory.stores import secrets_file
from mainstay.secrets import SecretStore
from tests.lab import store as stores
from tests.lab.store import Store

DB, ONE, TWO = "rep-db", "rep-one", "rep-two"
UNIT, DATA = "postgresql@15-main", "/var/lib/postgresql/15/main"
TLS = "/etc/mainstay/postgres-tls"
LOG = "/var/log/postgresql/postgresql-15-main.log"


@pytest.fixture(scope="module")
def replicas(lab: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    """The three hosts, side by side from bare to verified by one apply."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MAINSTAY_OPERATOR", "alex")
        folder = tmp_path_factory.mktemp("replicas")
        patch.setenv("XDG_STATE_HOME", str(folder / "state"))
        found = stores.new(folder / "project", f"{lab}-rep", "replicas")
        found.outside("down")
        found.outside("up", "replicas", "--env", "staging")
        found.well("apply", found.target)
        found.psql("CREATE TABLE items (n int)", "orders")
        yield found
        found.outside("down")


def arrived(store: Store, *hosts: str, within: float = 10) -> None:
    """Asserts that rows written now are soon on these hosts too."""
    count, deadline = "SELECT count(*) FROM items", time.monotonic() + within
    store.psql("INSERT INTO items SELECT generate_series(1, 1000)", "orders")
    wanted = store.psql(count, "orders")
    for host in hosts:
        while (found := store.psql(count, "orders", host)) != wanted:
            assert time.monotonic() < deadline, f"{host}: {found} after {within} s, not {wanted}"
            time.sleep(0.2)


def streams(store: Store, host: str) -> bool:
    return store.psql("SELECT status FROM pg_stat_wal_receiver", host=host) == "streaming"


def test_the_plan_after_one_apply_is_empty_and_every_check_passes(replicas: Store) -> None:
    done = replicas.mainstay("plan", replicas.target, "--exit-code")
    assert done.returncode == 0, done.stdout + done.stderr
    assert replicas.failing("replication", DB, ONE, TWO) == set()
    assert replicas.failing("postgres", DB, ONE, TWO) == set()


@pytest.mark.covers("RP-01", "RP-03")
def test_rows_that_are_written_on_the_primary_arrive(replicas: Store) -> None:
    arrived(replicas, ONE, TWO)
    refused = replicas.sh(ONE, "cd / && runuser -u postgres -- psql orders -c 'DELETE FROM items' 2>&1 || true")
    assert "read-only transaction" in refused, refused


@pytest.mark.covers("RP-05")
def test_a_smaller_replica_may_not_have_less_than_its_primary(replicas: Store) -> None:
    with replicas.edited("staging.yaml", "memory: 1G, cores: 2", "memory: 1G, cores: 12"):
        replicas.well("apply", replicas.target)
        assert [replicas.psql("SHOW max_worker_processes", host=host) for host in (DB, ONE)] == ["12", "12"]
        assert replicas.failing("replication", ONE, TWO) == set()
    replicas.well("apply", replicas.target)


def started(store: Store, host: str) -> float:
    return float(store.psql("SELECT extract(epoch FROM pg_postmaster_start_time())", host=host))


@pytest.mark.covers("RP-05")
def test_replicas_have_more_before_their_primary_and_less_after_it(replicas: Store) -> None:
    """Each time by one apply of all hosts; else a replica stops following, and says why in its log."""
    with replicas.edited("system.yaml", "max_connections: 40", "max_connections: 60"):
        replicas.well("apply", replicas.target)
        assert [replicas.psql("SHOW max_connections", host=host) for host in (DB, ONE, TWO)] == ["60"] * 3
        assert max(started(replicas, ONE), started(replicas, TWO)) < started(replicas, DB)
        arrived(replicas, ONE, TWO)
        assert replicas.mainstay("plan", replicas.target, "--exit-code").returncode == 0
    replicas.well("apply", replicas.target)
    assert [replicas.psql("SHOW max_connections", host=host) for host in (DB, ONE, TWO)] == ["40"] * 3
    assert started(replicas, DB) < min(started(replicas, ONE), started(replicas, TWO))
    arrived(replicas, ONE, TWO)
    for host in (ONE, TWO):
        assert "insufficient parameter settings" not in replicas.sh(host, "cat /var/log/postgresql/*.log*")
    assert replicas.failing("replication", DB, ONE, TWO) == set()
    assert replicas.failing("postgres", DB, ONE, TWO) == set()


def test_a_lost_replica_is_made_again_by_an_apply(replicas: Store) -> None:
    """Its data is taken away under the running server."""
    replicas.sh(ONE, f"rm -rf {DATA}")
    assert "it follows and cannot be written to" in replicas.failing("replication", ONE)
    planned = replicas.well("plan", replicas.target, "--limit", ONE)
    assert f"15/main: copy of {DB}: there is no data" in planned, planned
    done = replicas.well("apply", replicas.target, "--limit", ONE)
    assert "verified" in done
    arrived(replicas, ONE)
    assert replicas.failing("replication", DB, ONE, TWO) == set()
    assert replicas.mainstay("plan", replicas.target, "--exit-code").returncode == 0
    assert replicas.sh(ONE, f"ls -A {DATA}/.. ").split() == ["main"]


def test_a_replica_that_can_never_catch_up_is_made_again(replicas: Store) -> None:
    replicas.sh(TWO, f"systemctl stop {UNIT}")
    replicas.psql("SELECT pg_drop_replication_slot('replica_rep_two')")
    for _ in range(3):
        replicas.psql("INSERT INTO items SELECT generate_series(1, 1000)", "orders")
        replicas.psql("SELECT pg_switch_wal()")
        replicas.psql("CHECKPOINT")
    replicas.converged(DB)  # which makes the slot again, and what was before it is gone
    replicas.sh(TWO, f"systemctl start {UNIT}; sleep 2")
    assert "it receives from its primary by tls" in replicas.failing("replication", TWO)
    planned = replicas.well("plan", replicas.target, "--limit", TWO)
    assert "the primary no longer has the WAL that it lacks" in planned, planned
    replicas.converged(TWO)
    arrived(replicas, TWO)
    assert replicas.failing("replication", DB, ONE, TWO) == set()


def test_without_its_primary_a_replica_stays_as_it_is(replicas: Store) -> None:
    """What is there answers readers; what is not there is not made, and one sentence says why."""
    replicas.sh(DB, f"systemctl stop {UNIT}")
    try:
        assert replicas.psql("SELECT count(*) FROM items", "orders", ONE).isdigit()
        assert not replicas.plan(ONE)["changes"]
        assert "it receives from its primary by tls" in replicas.failing("replication", ONE)
        replicas.sh(TWO, f"systemctl stop {UNIT}; mv {DATA} /root/kept; mkdir -m 0700 {DATA}; chown postgres: {DATA}")
        outcome = replicas.apply(TWO)
        assert not outcome["ok"]
        assert f"cannot copy {DB}: Connection refused; the data here is as it was" in outcome["reason"], outcome
        assert replicas.sh(TWO, f"ls -A {DATA}; ls -A {DATA}/..").split() == ["main"]
    finally:
        replicas.sh(TWO, f"rm -rf {DATA}; mv /root/kept {DATA}; systemctl start {UNIT}")
        replicas.sh(DB, f"systemctl start {UNIT}")
    time.sleep(8)  # a receiver tries again after 5 s
    assert replicas.failing("replication", DB, ONE, TWO) == set()


@contextmanager
def certificate_of(store: Store, host: str, name: str) -> Iterator[None]:
    """A certificate of the same CA on the host, for another name."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MAINSTAY_AGE_IDENTITY", str(store.identity))
        seed = SecretStore.open(secrets_file(store.project, "replicas", "staging")).get("PG_CA").reveal()
    issued = issue(seed, "replicas/staging", [name], datetime.now(UTC))
    store.sh(host, f"cp -a {TLS} /root/tls")
    for file, text in (("server.crt", issued.certificate), ("server.key", issued.key)):
        store.sh(host, f"echo {base64.b64encode(text.encode()).decode()} | base64 -d > {TLS}/{file}")
    store.sh(host, f"systemctl reload {UNIT}; sleep 0.5")
    try:
        yield
    finally:
        store.sh(host, f"rm -rf {TLS}; mv /root/tls {TLS}; systemctl reload {UNIT}; sleep 0.5")


@pytest.mark.covers("DF-14")
def test_a_certificate_for_another_name_is_refused(replicas: Store) -> None:
    """By a replica that connects again, and by one that is to be made."""
    with certificate_of(replicas, DB, "somebody-else"):
        failing = replicas.failing("replication", DB)
        assert failing == {"the certificate is the hosts by the internal ca"}
        assert f"new certificate for {DB}" in replicas.well("plan", replicas.target, "--limit", DB)
        replicas.psql("SELECT pg_terminate_backend(pid) FROM pg_stat_replication")
        time.sleep(2)
        log = replicas.sh(ONE, f"tail -n 5 {LOG}")
        assert 'server certificate for "somebody-else"' in log and f'host name "{DB}"' in log, log
        assert not streams(replicas, ONE)
        replicas.sh(TWO, f"systemctl stop {UNIT}; rm -rf {DATA}")
        outcome = replicas.apply(TWO)
        assert not outcome["ok"] and "does not match host name" in outcome["reason"], outcome["reason"]
    replicas.converged(TWO)
    deadline = time.monotonic() + 15
    while not streams(replicas, ONE) and time.monotonic() < deadline:
        time.sleep(0.5)
    assert replicas.failing("replication", DB, ONE, TWO) == set()


def test_a_promoted_replica_is_never_replaced(replicas: Store) -> None:
    replicas.psql("SELECT pg_promote()", host=ONE)
    replicas.psql("CREATE TABLE precious (n int)", "orders", ONE)
    try:
        assert "it follows and cannot be written to" in replicas.failing("replication", ONE)
        for state in ("a primary runs here", "the data here has been a primary's"):
            outcome = replicas.apply(ONE)
            assert not outcome["ok"] and f"{state}, expected a replica of {DB}" in outcome["reason"], outcome["reason"]
            replicas.sh(ONE, f"systemctl stop {UNIT}")
        replicas.sh(ONE, f"systemctl start {UNIT}")
        assert replicas.psql("SELECT count(*) FROM precious", "orders", ONE) == "0"
    finally:
        replicas.sh(ONE, f"systemctl stop {UNIT}; rm -rf {DATA}")
        replicas.converged(ONE)
    assert replicas.failing("replication", DB, ONE, TWO) == set()


def test_replicas_that_leave_take_their_slots_along_once_they_have_gone(replicas: Store) -> None:
    with replicas.edited("staging.yaml", "192.0.2.33, roles: [db_replica]", "192.0.2.33, roles: [monitoring]"):
        shown = replicas.well("plan", replicas.target, "--limit", DB)
        assert "replica_rep_two: the inventory has no such replica, and one uses its slot: left" in shown, shown
        replicas.sh(TWO, f"systemctl stop {UNIT}; sleep 1")
        replicas.converged(DB)
        assert replicas.psql("SELECT slot_name FROM pg_replication_slots") == "replica_rep_one"
        assert replicas.failing("replication", DB, ONE) == set()
    replicas.converged(DB)
    replicas.sh(TWO, f"systemctl start {UNIT}; sleep 2")
    replicas.converged(TWO)


BREAKS = {
    "a slot is gone": (
        DB,
        "SELECT pg_create_physical_replication_slot('nobody', true)",
        "SELECT pg_drop_replication_slot('nobody')",
        "each replica has its slot and nobody else",
    ),
    "it has stopped": (
        ONE,
        "SELECT pg_wal_replay_pause()",
        "SELECT pg_wal_replay_resume()",
        "it goes on following",
    ),
    "it falls behind": (
        ONE,
        "ALTER SYSTEM SET recovery_min_apply_delay = '1min'",
        "ALTER SYSTEM RESET recovery_min_apply_delay",
        "it is not far behind",
    ),
}


@pytest.mark.parametrize("name", BREAKS)
def test_broken_replication_fails_its_check(replicas: Store, name: str) -> None:
    host, broken, mended, check = BREAKS[name]
    replicas.psql(broken, host=host)
    replicas.psql("SELECT pg_reload_conf()", host=host)
    replicas.psql("INSERT INTO items VALUES (1)", "orders")
    try:
        assert check in replicas.failing("replication", host)
    finally:
        replicas.psql(mended, host=host)
        replicas.psql("SELECT pg_reload_conf()", host=host)
    time.sleep(1)
    assert replicas.failing("replication", host) == set()


HBA = "/etc/postgresql/15/main/pg_hba.conf"
START = "/etc/postgresql/15/main/start.conf"
OWN = {
    "it does not start at boot": (
        f"systemctl disable {UNIT}; echo manual > {START}; systemctl daemon-reload",
        f"echo auto > {START}; systemctl daemon-reload",
        {"the cluster itself runs and starts at boot"},
    ),
    "alter system": (
        "cd / && runuser -u postgres -- psql -c 'ALTER SYSTEM SET seq_page_cost = 1.0'",
        "true",
        {"alter system overrides nothing"},
    ),
    "a rule that does not parse": (
        f"echo 'host orders orders_owner nowhere/99 scram-sha-256' >> {HBA}",
        "true",
        {"access rules are loaded without errors"},
    ),
    "a role from everywhere": (
        f"echo 'host orders orders_owner all scram-sha-256' >> {HBA}",
        "true",
        {"roles are refused from hosts that are not theirs", "access rules are loaded without errors"},
    ),
}


@pytest.mark.parametrize("name", OWN)
def test_what_is_a_replicas_own_is_seen_and_mended_there(replicas: Store, name: str) -> None:
    """By the checks that its primary has too; what no apply has to do with is put back by hand."""
    broken, by_hand, checks = OWN[name]
    replicas.sh(ONE, f"({broken}) && systemctl reload {UNIT} && sleep 1")
    try:
        assert replicas.failing("postgres", ONE) == checks
        assert replicas.failing("postgres", TWO) == set()
    finally:
        replicas.sh(ONE, by_hand)
        replicas.converged(ONE)
    assert replicas.failing("postgres", ONE) == set()


def test_only_settings_of_the_inventory_may_wait_on_a_replica(replicas: Store) -> None:
    """Without leave for a restart they wait in order; what ALTER SYSTEM has waiting does not."""
    with replicas.edited("system.yaml", "allow_restart: true", "allow_restart: false"):
        with replicas.edited("system.yaml", "max_connections: 40", "max_connections: 45"):
            assert replicas.apply(ONE)["ok"]
            assert replicas.psql("SHOW max_connections", host=ONE) == "40"
            assert replicas.failing("postgres", ONE) == set()
            replicas.psql("ALTER SYSTEM SET max_files_per_process = 999", host=ONE)
            replicas.psql("SELECT pg_reload_conf()", host=ONE)
            try:
                assert replicas.failing("postgres", ONE) == {"nothing waits for a restart"}
            finally:
                replicas.psql("ALTER SYSTEM RESET max_files_per_process", host=ONE)
                replicas.psql("SELECT pg_reload_conf()", host=ONE)
        replicas.converged(ONE)
    assert replicas.failing("postgres", ONE) == set()


def test_passwords_and_keys_show_nowhere(replicas: Store) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MAINSTAY_AGE_IDENTITY", str(replicas.identity))
        store = SecretStore.open(secrets_file(replicas.project, "replicas", "staging"))
        values = [store.get(name).reveal() for name in ("PG_CA", "PG_REPLICATION_PASSWORD")]
    for host in (DB, ONE, TWO):
        told = replicas.sh(
            host, "cat /var/log/postgresql/*.log; journalctl --no-pager -o cat; cat /proc/[0-9]*/cmdline"
        )
        assert not [value for value in values if value in told]
        # The CA's secret is never on a host at all.
        found = replicas.sh(
            host, f"grep -rlF {shlex.quote(values[0])} /etc /var/lib/mainstay /var/lib/postgresql || true"
        )
        assert found == ""
