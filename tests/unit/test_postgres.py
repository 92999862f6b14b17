"""PostgreSQL's pure parts: tuning from declared sizes, values in their units, SCRAM verifiers, ACLs."""

from __future__ import annotations

import base64
import hashlib
import hmac
import shlex

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deploys.components.postgres import sizes
from deploys.components.postgres.tuning import (
    AUTOVACUUM_WORKERS,
    GIB,
    HASH_MEM_MULTIPLIER,
    MIB,
    Setting,
    overridden,
    size,
    tuning,
    work_mem,
)
from deploys.operations.postgres_settings import in_unit, same
from deploys.operations.postgres_statements import PUBLIC, acl_changes, identifier, literal
from deploys.operations.scram import matches, verifier
from facts.postgres import SettingState
from facts.psql import parse_rows, query, rows

memories = st.integers(256 * MIB, 4096 * GIB)
cores = st.integers(1, 256)
disks = st.integers(5 * GIB, 100_000 * GIB)
connections = st.integers(20, 10_000)


def bytes_of(settings: list[Setting], name: str) -> int:
    value = next(setting.value for setting in settings if setting.name == name)
    found = in_unit(value, "B")
    assert found is not None, value
    return round(found)


def number_of(settings: list[Setting], name: str) -> float:
    return float(next(setting.value for setting in settings if setting.name == name))


@given(memories, cores, disks, connections)
def test_what_everything_may_take_at_once_fits_the_memory(memory: int, cores: int, disk: int, clients: int) -> None:
    settings = tuning(memory, cores, disk, clients)
    sorts = (clients + cores) * bytes_of(settings, "work_mem") * HASH_MEM_MULTIPLIER
    vacuum = AUTOVACUUM_WORKERS * bytes_of(settings, "maintenance_work_mem")
    caches = bytes_of(settings, "shared_buffers") + bytes_of(settings, "wal_buffers")
    if work_mem(memory, cores, clients) > 64 * 1024:  # below, PostgreSQL's least decides
        assert sorts + vacuum + caches <= memory


@given(memories, cores, disks, connections)
def test_every_value_is_one_that_postgresql_accepts(memory: int, cores: int, disk: int, clients: int) -> None:
    settings = tuning(memory, cores, disk, clients)
    assert 128 * 1024 <= bytes_of(settings, "shared_buffers") <= (2**30 - 1) * 8192
    assert 8192 <= bytes_of(settings, "effective_cache_size") <= (2**31 - 1) * 8192
    assert 64 * 1024 <= bytes_of(settings, "work_mem") <= (2**31 - 1) * 1024
    assert MIB <= bytes_of(settings, "maintenance_work_mem") <= (2**31 - 1) * 1024
    assert 32 * 1024 <= bytes_of(settings, "wal_buffers") <= 16 * MIB
    # Two segments of 16 MB are the least; no bounds may cross.
    assert 32 * MIB <= bytes_of(settings, "min_wal_size") <= bytes_of(settings, "max_wal_size")
    assert number_of(settings, "max_parallel_workers") <= number_of(settings, "max_worker_processes") <= 262_143
    assert 0 <= number_of(settings, "max_parallel_workers_per_gather") <= number_of(settings, "max_parallel_workers")
    assert len({setting.name for setting in settings}) == len(settings)
    assert all(setting.reason for setting in settings)
    # What is computed says of what, so that an operator knows which number to change.
    assert all(bool(setting.of) != (setting.source == "fixed") for setting in settings)


@given(memories, st.integers(0, 1024 * GIB), cores, disks, connections)
def test_more_memory_never_means_less(memory: int, more: int, cores: int, disk: int, clients: int) -> None:
    small, large = tuning(memory, cores, disk, clients), tuning(memory + more, cores, disk, clients)
    for name in ("shared_buffers", "effective_cache_size", "work_mem", "maintenance_work_mem", "wal_buffers"):
        assert bytes_of(small, name) <= bytes_of(large, name), name


@given(memories, cores, connections, st.integers(0, 1000))
def test_more_connections_never_mean_more_for_each(memory: int, cores: int, clients: int, more: int) -> None:
    assert work_mem(memory, cores, clients + more) <= work_mem(memory, cores, clients)


@given(st.integers(1, 2**50))
def test_a_size_reads_back(value: int) -> None:
    assert in_unit(size(value), "B") == pytest.approx(value)


def test_the_values_of_a_host_of_8_gib() -> None:
    """The numbers that an operator would expect, so that a change of a rule is seen as what it does."""
    found = {setting.name: setting.value for setting in tuning(8 * GIB, 4, 100 * GIB, 100)}
    assert found == {
        "max_connections": "100",
        "shared_buffers": "2GB",
        "effective_cache_size": "6GB",
        "work_mem": "19MB",
        "maintenance_work_mem": "256MB",
        "max_worker_processes": "8",
        "max_parallel_workers": "4",
        "max_parallel_workers_per_gather": "2",
        "max_parallel_maintenance_workers": "2",
        "wal_buffers": "16MB",
        "min_wal_size": "1280MB",
        "max_wal_size": "5GB",
        "checkpoint_completion_target": "0.9",
        "random_page_cost": "1.1",
        "seq_page_cost": "1.0",
        "effective_io_concurrency": "200",
    }


@pytest.mark.parametrize(
    ("own", "wanted"),
    [
        ("256MB", 256 * MIB),
        ("64kB", 64 * 1024),
        ("1.5 GB", 3 * GIB // 2),
        ("1TB", 1024 * GIB),
        (16384, 128 * MIB),
        ("16384", 128 * MIB),
        ("1048576B", MIB),
        ("256mb", None),
        ("lots", None),
        ("-1MB", None),
        (True, None),
        (None, None),
    ],
)
def test_own_buffers_are_read_as_postgresql_reads_them(own: object, wanted: int | None) -> None:
    assert sizes.bytes_of({"shared_buffers": own}, "shared_buffers") == wanted


@given(st.integers(1, 2**50))
def test_own_buffers_read_back(value: int) -> None:
    assert sizes.bytes_of({"shared_buffers": size(value)}, "shared_buffers") == pytest.approx(value)


def test_own_values_take_the_place_of_computed_ones() -> None:
    own = {"jit": False, "shared_buffers": "1GB"}
    computed = Setting("shared_buffers", "2GB", "why", of=("memory",))
    assert overridden([computed], own) == [
        Setting(
            "shared_buffers",
            "1GB",
            "postgres.settings; computed: 2GB",
            "inventory",
            ("postgres.settings.shared_buffers",),
            computed,
        ),
        Setting("jit", "off", "postgres.settings", "inventory", ("postgres.settings.jit",)),
    ]


@pytest.mark.parametrize(
    ("value", "setting", "unit", "vartype", "equal"),
    [
        ("256MB", "32768", "8kB", "integer", True),
        ("256MB", "32769", "8kB", "integer", False),
        ("1GB", "1048576", "kB", "integer", True),
        ("16MB", "2048", "8kB", "integer", True),
        ("100", "100", None, "integer", True),
        ("5min", "300", "s", "integer", True),
        ("1h", "3600000", "ms", "integer", True),
        ("100ms", "100", "ms", "integer", True),
        ("1.0", "1", None, "real", True),
        ("0.9", "0.9", None, "real", True),
        ("1.1", "1.2", None, "real", False),
        ("on", "on", None, "bool", True),
        ("true", "on", None, "bool", True),
        ("off", "on", None, "bool", False),
        ("REPLICA", "replica", None, "enum", True),
        ("on", "on", None, "enum", True),
        ("remote_apply", "on", None, "enum", False),
        ("localhost,10.0.0.1", "localhost, 10.0.0.1", None, "string", True),
        ("x", "y", None, "string", False),
        ("lots", "1", None, "integer", False),
        ("5min", "300", "kB", "integer", False),
    ],
)
def test_a_written_value_is_compared_in_the_servers_unit(
    value: str, setting: str, unit: str | None, vartype: str, equal: bool
) -> None:
    assert same(value, SettingState(setting, unit, vartype, "user", "default", False)) == equal


@given(st.text(max_size=20), st.sampled_from([None, "8kB", "kB", "ms", "s", "B", "MB", "min", "?"]))
def test_any_text_has_a_number_or_none(value: str, unit: str | None) -> None:
    in_unit(value, unit)


passwords = st.text(st.characters(min_codepoint=32, max_codepoint=126), min_size=1, max_size=64)


@given(passwords, passwords)
def test_a_verifier_is_its_passwords_and_no_other(password: str, other: str) -> None:
    made = verifier(password)
    salted, digest = made.rpartition("$")[0], hashlib.sha256(made.encode()).hexdigest()
    assert matches(password, salted, digest)
    assert matches(other, salted, digest) == (other == password)
    assert not matches(password, None, digest) and not matches(password, salted, None)


def test_the_verifier_of_rfc_7677() -> None:
    """The exchange that the RFC prints for user/pencil proves itself with the keys made here."""
    made = verifier("pencil", "SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==")
    server_key = base64.b64decode(made.rpartition(":")[2])
    message = (
        "n=user,r=rOprNGfwEbeRWgbNEkqO,"
        "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096,"
        "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0"
    )
    signature = hmac.new(server_key, message.encode(), hashlib.sha256).digest()
    assert base64.b64encode(signature).decode() == "6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="


@given(st.text(max_size=30))
def test_quoted_names_and_texts_end_where_they_should(text: str) -> None:
    assert identifier(text)[1:-1].replace('""', "").count('"') == 0
    assert literal(text)[1:-1].replace("''", "").count("'") == 0


privileges = st.frozensets(st.sampled_from(["SELECT", "INSERT", "SELECT*", "DELETE"]), max_size=3)
wanted_privileges = st.frozensets(st.sampled_from(["SELECT", "INSERT", "DELETE"]), max_size=3)


@given(wanted_privileges, privileges)
def test_acl_statements_lead_to_what_is_wanted(wanted: frozenset[str], found: frozenset[str]) -> None:
    """Played on a set, as the server would: afterwards there is nothing left to change."""
    have = {privilege for privilege in found if f"{privilege}*" not in found}
    for change in acl_changes("TABLE t", "t", {"app": wanted}, {"app": sorted(have)}, frozenset({"app"})):
        verb, rest = change.sql.split(" ", 1)
        named = set(rest.split(" ON ")[0].split(", "))
        have = have | named if verb == "GRANT" else {p for p in have if p.rstrip("*") not in named}
    assert have == wanted


def test_grants_to_strangers_are_left_alone_and_everybodys_are_not() -> None:
    found = {"stranger": ["SELECT"], PUBLIC: ["SELECT"]}
    changes = list(acl_changes("TABLE t", "t", {}, found, frozenset({"app"})))
    assert [change.sql for change in changes] == ["REVOKE SELECT ON TABLE t FROM PUBLIC;"]


def test_a_question_is_one_line_that_no_bare_host_fails() -> None:
    command = query(15, "main", "x'y", "SELECT\n   1")
    assert "\n" not in command and "'SELECT 1'" in command and command.startswith("if [ -s ")


def test_rows_of_several_databases_are_told_apart() -> None:
    """json_agg puts each row on a line of its own, and a value may hold a newline."""
    said = '[{"b":1,"a":"x\\ny"}, \n {"b":2,"a":null}]\n[]\n[{"b":3,"a":[1]}]\n'
    assert parse_rows(said) == [[[1, "x\ny"], [2, None]], [], [[3, [1]]]]
    assert parse_rows("") == []
    command = rows(15, 5432, "SELECT 'it''s' AS a", ["one", "two"])
    words = shlex.split(command)
    wrapped = "SELECT coalesce(json_agg(row), '[]') FROM (SELECT 'it''s' AS a) AS row"
    assert words[words.index("-d") :] == ["-d", "one", "-c", wrapped, "-c", "\\connect two", "-c", wrapped]
