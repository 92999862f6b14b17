"""Replicas as their users meet them: they follow, by TLS from the host that they should, and are not far behind.

What each server has of its own, its unit, settings and rules, is test_postgres's to check, on replicas too.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from deploys.components.postgres import files as cluster_files
from deploys.components.postgres.model import Section as Cluster
from deploys.components.postgres.model import section as cluster_section
from deploys.components.replication.model import NO_LESS, Section, primary, replicas, section, slot
from deploys.operations.internal_ca import fault_of
from facts import psql
from facts.internal_ca import InternalCertificate
from mainstay.inventory import Environment, Host

ON_PRIMARY = pytest.mark.roles("db")
ON_REPLICA = pytest.mark.roles("db_replica")
AGAIN_S = 10.0
Rows = Callable[[str], list[list[Any]]]


@pytest.fixture(scope="module")
def own(environment: Environment) -> Section:
    return section(environment)


@pytest.fixture(scope="module")
def cluster(environment: Environment) -> Cluster:
    return cluster_section(environment)


def _rows(host: Any, cluster: Cluster) -> Rows:
    """Rows of a query as the superuser of the host's cluster, each as a list."""

    def rows(query: str) -> list[list[Any]]:
        done = host.run(psql.rows(cluster.major, cluster.port, query))
        assert done.rc == 0, f"PostgreSQL does not answer: {done.stderr.strip()}"
        return psql.parse_rows(done.stdout)[0]

    return rows


@pytest.fixture(scope="module")
def sql(host: Any, cluster: Cluster) -> Rows:
    return _rows(host, cluster)


@pytest.fixture(scope="module")
def anew(reach: Callable[[str], Any], member: Host, cluster: Cluster) -> Rows:
    """As `sql`, when it is asked and not ahead."""
    return _rows(reach(member.name), cluster)


@pytest.fixture(scope="module")
def upstream(reach: Callable[[str], Any], cluster: Cluster) -> Rows:
    """Rows of a query on the primary."""
    return _rows(reach("db"), cluster)


@pytest.mark.roles("db", "db_replica")
def test_the_certificate_is_the_hosts_by_the_internal_ca(
    host: Any, environment: Environment, member: Host, own: Section
) -> None:
    fact = InternalCertificate()
    done = host.run(fact.command(folder=cluster_files.TLS))
    seed = environment.secrets.get(own.ca).reveal()
    fault = fault_of(fact.process(done.stdout.splitlines()), seed, [member.name, member.address], datetime.now(UTC))
    assert not fault, f"{cluster_files.TLS}/server.crt: {fault}"


@ON_PRIMARY
@pytest.mark.covers("RP-04")
def test_only_the_primary_can_be_written_to(sql: Rows, environment: Environment) -> None:
    assert sql("SELECT pg_is_in_recovery()") == [[False]], "the primary follows somebody"


@ON_PRIMARY
def test_each_replica_has_its_slot_and_nobody_else(sql: Rows, environment: Environment) -> None:
    rows = sql("SELECT slot_name, wal_status FROM pg_replication_slots WHERE slot_type = 'physical' AND NOT temporary")
    found = dict(rows)
    wanted = {slot(host) for host in replicas(environment)}
    assert not wanted - found.keys(), f"no slot {', '.join(sorted(wanted - found.keys()))}"
    assert not found.keys() - wanted, f"slots of nobody, which keep WAL: {', '.join(sorted(found.keys() - wanted))}"
    lost = sorted(name for name, status in found.items() if status == "lost")
    assert not lost, f"what they need is gone: {', '.join(lost)}"


@ON_PRIMARY
@pytest.mark.covers("DF-14")
def test_replicas_log_in_by_tls_and_from_their_hosts_alone(sql: Rows, environment: Environment, own: Section) -> None:
    rows = sql(
        "SELECT type, array_to_string(database, ',') AS d, array_to_string(user_name, ',') AS u, address, auth_method "
        "FROM pg_hba_file_rules WHERE 'replication' = ANY (database)"
    )
    wanted = [["hostssl", "replication", own.user, host.address, "scram-sha-256"] for host in replicas(environment)]
    assert sorted(rows) == sorted(wanted), f"rules for replication: {rows}"


@ON_REPLICA
@pytest.mark.covers("RP-03", "RP-04", "DF-14")
def test_it_follows_and_cannot_be_written_to(host: Any, sql: Rows, cluster: Cluster) -> None:
    data = f"/var/lib/postgresql/{cluster.major}/main"
    assert host.file(f"{data}/standby.signal").exists, "no standby.signal: a start would make it a primary"
    assert not host.file(f"{data}/recovery.conf").exists, "recovery.conf is there, which PostgreSQL 12 and later refuse"
    assert sql("SELECT pg_is_in_recovery()") == [[True]], "it does not follow: it can be written to"


@ON_REPLICA
@pytest.mark.covers("RP-02")
def test_it_answers_readers(sql: Rows) -> None:
    assert sql("SELECT current_setting('hot_standby')") == [["on"]]
    assert sql("SELECT count(*) > 0 AS there FROM pg_database") == [[True]]


@ON_REPLICA
@pytest.mark.covers("RP-01", "RP-03")
def test_it_receives_from_its_primary_by_tls(
    sql: Rows, anew: Rows, upstream: Rows, environment: Environment, member: Host
) -> None:
    """A primary that has just been restarted is asked again for a while: a receiver tries again after 5 s."""
    asked = "SELECT status, slot_name, conninfo FROM pg_stat_wal_receiver"
    rows, deadline = sql(asked), time.monotonic() + AGAIN_S
    while not (rows and rows[0][0] == "streaming") and time.monotonic() < deadline:
        time.sleep(0.5)
        rows = anew(asked)
    assert rows, "it receives nothing"
    status, used, conninfo = rows[0]
    assert status == "streaming", f"its receiver is {status}"
    assert used == slot(member), f"it uses the slot {used}"
    words = dict(word.split("=", 1) for word in conninfo.split() if "=" in word)
    assert words.get("sslmode") == "verify-full", f"sslmode is {words.get('sslmode')}"
    assert words.get("host") == primary(environment).name, f"it follows {words.get('host')}"
    seen = upstream(
        "SELECT state, ssl FROM pg_stat_replication JOIN pg_stat_ssl USING (pid) "
        f"WHERE client_addr = '{member.address}' AND application_name = '{member.name}'"
    )
    assert seen == [["streaming", True]], f"the primary sees {seen or 'nobody'}"


@ON_REPLICA
@pytest.mark.covers("RP-01")
def test_it_is_not_far_behind(anew: Rows, upstream: Rows, own: Section) -> None:
    """What the primary has written by now is here within the limit: its own clock is not asked."""
    ((written,),) = upstream("SELECT pg_current_wal_lsn()::text")
    deadline = time.monotonic() + own.max_lag
    while True:
        ((here, behind),) = anew(
            f"SELECT coalesce(pg_last_wal_replay_lsn() >= '{written}', false) AS here, "
            f"pg_wal_lsn_diff('{written}', pg_last_wal_replay_lsn()) AS behind"
        )
        if here or time.monotonic() > deadline:
            break
        time.sleep(0.2)
    assert here, f"{behind} bytes behind its primary after {own.max_lag:g} s"


@ON_REPLICA
@pytest.mark.covers("RP-05")
def test_it_has_no_less_than_its_primary(sql: Rows, upstream: Rows) -> None:
    """In effect on both: PostgreSQL 15 stops following at what it has less of."""
    names = ", ".join(f"'{name}'" for name in NO_LESS)
    asked = f"SELECT name, setting::int FROM pg_settings WHERE name IN ({names})"
    mine = dict(sql(asked))
    less = [f"{name} is {mine[name]}, {value} there" for name, value in upstream(asked) if mine[name] < value]
    assert not less, "; ".join(less)


@ON_REPLICA
def test_it_goes_on_following(sql: Rows) -> None:
    assert sql("SELECT pg_get_wal_replay_pause_state()") == [["not paused"]], "it has stopped following"


@ON_REPLICA
def test_its_password_is_for_postgresql_alone(host: Any, cluster: Cluster) -> None:
    path = cluster_files.passfile(cluster.major, "main")
    found = host.check_output(f"stat -c '%U %G %a' {path}")
    assert found == "postgres postgres 600", f"{path}: {found}"
