"""PostgreSQL before any host: files from a fixed environment, and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from deploys.components.postgres import files
from mainstay.inventory import Environment, Host
from tests.unit.inventories import SHIPPED, SYSTEM, copied, loaded, messages, unwatched

APP = "everydayai_app"


def text_of(env: Environment, host: Host, name: str) -> str:
    return next(managed.content for managed in files.files(env, host) if managed.path.endswith(name))


# Files


def test_access_is_for_the_hosts_of_each_role_and_for_no_superuser(env: Environment, db: Host) -> None:
    rules = [line.split() for line in text_of(env, db, "pg_hba.conf").splitlines() if not line.startswith("#")]
    assert rules[0] == ["local", "all", "postgres", "peer"]
    assert rules[1] == ["host", "all", "postgres", "all", "reject"]
    from_hosts = {tuple(rule[2:4]) for rule in rules[2:] if rule[0] == "host"}
    apps = {f"{host.address}/32" for host in env.hosts_of("app")}
    assert {address for role, address in from_hosts if role == APP} == apps | {"127.0.0.1/32", "::1/128"}
    assert {address for role, address in from_hosts if role != APP} == {"127.0.0.1/32", "::1/128"}
    assert {rule[-1] for rule in rules[2:] if rule[0] == "host"} == {"scram-sha-256"}


def test_it_listens_on_loopback_and_its_own_address(env: Environment, db: Host) -> None:
    assert f"listen_addresses = 'localhost,{db.address}'\n" in text_of(env, db, "40-access.conf")


def test_values_of_the_inventory_come_last_and_say_so(env: Environment, db: Host) -> None:
    assert "# postgres.settings\nlog_min_duration_statement = '100ms'\n" in text_of(env, db, "50-tuning.conf")


def test_an_overridden_value_says_what_was_computed(tmp_path: Path) -> None:
    edit = ("system.yaml", "log_min_duration_statement: 100ms", "shared_buffers: 1GB")
    env = loaded(copied(tmp_path, edit))
    text = text_of(env, env.hosts["eai-db-1"], "50-tuning.conf")
    assert "# postgres.settings; computed: 2GB\nshared_buffers = '1GB'\n" in text


def test_an_extension_that_must_be_loaded_at_start_is(tmp_path: Path) -> None:
    edit = ("system.yaml", "{owner: everydayai_owner}", "{owner: everydayai_owner, extensions: [pg_stat_statements]}")
    env = loaded(copied(tmp_path, edit))
    text = text_of(env, env.hosts["eai-db-1"], "50-tuning.conf")
    assert "\nshared_preload_libraries = 'pg_stat_statements'\n" in text
    assert files.in_effect(env, env.hosts["eai-db-1"])["shared_preload_libraries"] == "pg_stat_statements"


def test_a_quote_in_a_value_stays_inside_its_quotes(tmp_path: Path) -> None:
    edit = ("system.yaml", "log_min_duration_statement: 100ms", 'log_line_prefix: "x\' \\\\ y"')
    env = loaded(copied(tmp_path, edit))
    assert "log_line_prefix = 'x'' \\\\ y'\n" in text_of(env, env.hosts["eai-db-1"], "50-tuning.conf")


def test_nothing_is_managed_where_somebody_else_runs_it(tmp_path: Path) -> None:
    edit = ("system.yaml", "managed: false                                # fix (seed: Supabase", "managed: true # (")
    env = loaded(unwatched(copied(tmp_path, edit)))
    assert files.files(env, env.hosts["eai-db-1"]) == []


# The model


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (
            ("production.yaml", "roles: [db]", "debian: 13, roles: [db]"),
            "postgres.major: found 15 for eai-db-1, which runs Debian 13, expected 17, the one that release packages",
        ),
        (
            ("system.yaml", "log_min_duration_statement: 100ms", "port: 5433"),
            "postgres.settings.port: found a setting that the component writes itself, expected it left out",
        ),
        (
            ("system.yaml", "log_min_duration_statement: 100ms", "shared_buffers: 64GB"),
            "postgres.settings.shared_buffers: found 64GB on eai-db-1, which has 8192 MiB, "
            "expected half of the host's memory at most",
        ),
        (
            ("system.yaml", "log_min_duration_statement: 100ms", "shared_buffers: 64 GB"),
            "postgres.settings.shared_buffers: found 64 GB on eai-db-1, which has 8192 MiB, "
            "expected half of the host's memory at most",
        ),
        (
            ("system.yaml", "log_min_duration_statement: 100ms", "shared_buffers: 8388608"),
            "postgres.settings.shared_buffers: found 8388608, which is 64GB, on eai-db-1, which has 8192 MiB, "
            "expected half of the host's memory at most",
        ),
        (
            ("system.yaml", "log_min_duration_statement: 100ms", "work_mem: 64GB"),
            "postgres.settings.work_mem: found 64GB on eai-db-1, which has 8192 MiB, "
            "expected a quarter of the host's memory at most: one hash takes 2 times as much",
        ),
        (
            ("system.yaml", "log_min_duration_statement: 100ms", "maintenance_work_mem: 2097152"),
            "postgres.settings.maintenance_work_mem: found 2097152, which is 2GB, on eai-db-1, which has 8192 MiB, "
            "expected a sixth of the host's memory at most: 3 autovacuum workers may take it at once",
        ),
        (
            ("system.yaml", "log_min_duration_statement: 100ms", "max_connections: 300"),
            "postgres.settings.max_connections: found a second place for it, expected postgres.max_connections",
        ),
        (
            ("system.yaml", "connection_limit: 87", "connection_limit: 101"),
            "postgres.roles.everydayai_app.connection_limit: found 101, "
            "expected at most postgres.max_connections (100)",
        ),
        (
            ("system.yaml", "everydayai: {owner: everydayai_owner}", "everydayai: {owner: everydayai_app}"),
            "postgres.databases.everydayai.owner: found 'everydayai_app', "
            "expected a role of kind owner that lists everydayai",
        ),
    ],
)
def test_what_cannot_be_is_refused_before_any_host(tmp_path: Path, edit: Any, message: str) -> None:
    assert message in messages(copied(tmp_path, edit))


def test_a_size_that_fits_is_taken_and_what_is_none_is_left_to_the_server(tmp_path: Path) -> None:
    own = "{shared_buffers: 4GB, work_mem: 2 GB, maintenance_work_mem: 1GB}"
    text = (SHIPPED / SYSTEM / "system.yaml").read_text()
    line = next(line for line in text.splitlines() if "log_min_duration_statement" in line)
    fits = ("system.yaml", f"  settings:\n{line}", f"  settings: {own}")
    assert messages(copied(tmp_path / "fits", fits)) == []
    said = "work_mem: 1 furlong\n    shared_buffers: '1e999'"
    none = ("system.yaml", "log_min_duration_statement: 100ms", said)
    assert messages(copied(tmp_path / "none", none)) == []


@pytest.mark.parametrize(("own", "shown"), [("shared_buffers: 1.25 GB", "1280M"), ("shared_buffers: 196608", "1536M")])
def test_what_the_inventory_gives_the_cluster_counts_against_its_host(tmp_path: Path, own: str, shown: str) -> None:
    """With an app's 3 G on the same host of 4 G; a quarter of it would fit."""
    edits = [
        ("production.yaml", "roles: [db], memory: 8G", "roles: [db, app], memory: 4G"),
        ("system.yaml", "memory_max: 512M", "memory_max: 1536M"),
    ]
    found = f"found 4G, less than 2 backend x 1536M + postgres.shared_buffers {shown}"
    assert not [message for message in messages(copied(tmp_path / "fits", *edits)) if "shared_buffers" in message]
    root = copied(tmp_path / "own", *edits, ("system.yaml", "log_min_duration_statement: 100ms", own))
    assert [message for message in messages(root) if found in message]


def test_own_libraries_must_hold_what_an_extension_needs(tmp_path: Path) -> None:
    listed = ("system.yaml", "{owner: everydayai_owner}", "{owner: everydayai_owner, extensions: [pg_stat_statements]}")
    own = ("system.yaml", "log_min_duration_statement: 100ms", "shared_preload_libraries: auto_explain")
    assert messages(copied(tmp_path, listed, own)) == [
        "postgres.settings.shared_preload_libraries: found 'auto_explain', "
        "expected pg_stat_statements in it: a database lists that extension"
    ]
