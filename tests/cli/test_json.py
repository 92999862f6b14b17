"""`--json`: every command that has it names a schema, and prints what the schema says; here whatever needs no host."""

from __future__ import annotations

import json
import re
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import typer

from mainstay.cli import GROUPS, VERBS
from tests.cli.conftest import TARGET, Run
from tests.cli.test_apply import nowhere  # noqa: F401  a fixture
from tests.cli.test_check import mainstay
from tests.json_schema import FOLDER, faults
from tests.unit.inventories import copied

NAMED = re.compile(r"docs/json/(\w+)\.schema\.json")


def commands() -> dict[str, Any]:
    """Every command of the tree, by its words."""
    app = typer.Typer()
    for name, module in VERBS.items():
        app.command(name)(import_module(module).command)
    for name, module in GROUPS.items():
        app.add_typer(import_module(module).app, name=name)
    tree = typer.main.get_command(app).commands  # type: ignore[attr-defined]
    flat = {name: command for name, command in tree.items() if name not in GROUPS}
    return flat | {f"{group} {name}": one for group in GROUPS for name, one in tree[group].commands.items()}


COMMANDS = commands()
REPORTING = {
    name: option.help for name, command in COMMANDS.items() for option in command.params if "--json" in option.opts
}


def test_each_command_that_reports_has_json_and_each_schema_has_a_command() -> None:
    silent = {"init", "schema", "lab up", "lab down", "lab ssh", "lab cut", "lab heal", "lab kill", "lab boot"}
    silent |= {f"secrets {verb}" for verb in ("set", "get", "generate", "edit", "rekey")}
    assert set(COMMANDS) - silent == set(REPORTING)
    named = {found[1] for text in REPORTING.values() if (found := NAMED.search(text))}
    assert len([text for text in REPORTING.values() if NAMED.search(text)]) == len(REPORTING)
    assert {f"{name}.schema.json" for name in named} == {path.name for path in FOLDER.iterdir()}


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_every_help_says_what_it_does_and_what_each_option_is_for(name: str) -> None:
    command = COMMANDS[name]
    assert command.help and command.help.strip().splitlines()[0].endswith(".")
    hidden = [option.name for option in command.params if option.opts[0].startswith("-") and not option.help]
    assert [name for name in hidden if name != "help"] == []


def test_check(tmp_path: Path) -> None:
    done = mainstay("check", "--json", project=copied(tmp_path))
    assert done.returncode == 0
    assert faults("check", json.loads(done.stdout)) == []


def test_render(tmp_path: Path) -> None:
    done = mainstay("render", "everydayai/staging", "--limit", "cache", "--json", project=copied(tmp_path))
    found = json.loads(done.stdout)
    assert faults("render", found) == []
    assert list(found["hosts"]) == ["eai-stg-cache-1"]


def test_db_tuning(tmp_path: Path) -> None:
    own = ("system.yaml", "log_min_duration_statement: 100ms", "shared_buffers: 1GB\n    jit: false")
    done = mainstay("db", "tuning", "everydayai/production", "--json", project=copied(tmp_path, own))
    found = json.loads(done.stdout)
    assert faults("tuning", found) == []
    (host,) = found["hosts"].values()
    assert (host["memory"], host["cores"], host["disk"]) == (8 * 2**30, 4, 100 * 2**30)
    by_name = {row["name"]: row for row in host["settings"]}
    kept = ("value", "source", "of", "instead_of")
    shown = {name: tuple(by_name[name][key] for key in kept) for name in by_name}
    quarter = {"value": "2GB", "reason": "a quarter of memory (PT-02)"}
    assert shown["shared_buffers"] == ("1GB", "inventory", ["postgres.settings.shared_buffers"], quarter)
    assert shown["jit"] == ("off", "inventory", ["postgres.settings.jit"], None)
    assert shown["max_wal_size"] == ("5GB", "computed", ["disk"], None)
    assert shown["work_mem"] == ("19MB", "computed", ["memory", "cores", "postgres.max_connections"], None)
    assert shown["seq_page_cost"] == ("1.0", "fixed", [], None)


def test_db_tuning_for_a_person(tmp_path: Path) -> None:
    own = ("system.yaml", "log_min_duration_statement: 100ms", "shared_buffers: 1GB")
    project = copied(tmp_path, own)
    done = mainstay("db", "tuning", "everydayai/production", project=project, COLUMNS="160")
    assert done.returncode == 0, done.stderr
    assert "postgres on eai-db-1: 8G of memory, 4 cores, 100G of disk" in done.stdout
    assert "the inventory's own, instead of 2GB: a quarter of memory (PT-02)" in done.stdout
    none = mainstay("db", "tuning", "everydayai/production", "--limit", "web", project=project)
    assert (none.returncode, none.stdout) == (0, "")
    assert "no host of these has a database server that Mainstay tunes" in none.stderr


def test_secrets_list(filled: Run) -> None:
    assert faults("secrets", json.loads(filled("list", TARGET, "--json").stdout)) == []


@pytest.mark.parametrize(
    ("words", "schema", "code"),
    [
        (["plan", "everydayai/staging", "--exit-code"], "plan", 1),
        (["status", "everydayai/staging"], "status", 1),
        (["status", "everydayai/staging", "--limit", "cache"], "status", 1),
        (["history", "everydayai/staging"], "history", 0),
        (["history", "everydayai", "--offline"], "history", 0),
    ],
)
def test_of_hosts_that_do_not_answer(nowhere: Path, words: list[str], schema: str, code: int) -> None:  # noqa: F811
    done = mainstay(*words, "--json", project=nowhere, XDG_STATE_HOME=str(nowhere / "state"))
    assert done.returncode == code, done.stderr
    found = json.loads(done.stdout)
    assert faults(schema, found) == []
    if "--limit" in words:
        assert list(found["environments"][0]["hosts"]) == ["eai-stg-cache-1"]
    if schema == "plan":
        assert {host["reachable"] for host in found["hosts"].values()} == {False}


def test_limit_of_status_needs_one_environment(tmp_path: Path) -> None:
    done = mainstay("status", "everydayai", "--limit", "web", project=copied(tmp_path))
    assert done.returncode == 2
    assert "--limit: found without an environment, expected SYSTEM/staging or SYSTEM/production" in done.stderr
