"""Log files before any host: what copies and rotates them, and what is sent for files in each state."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deploys.components.logs import deploy, files
from deploys.operations import logs
from facts.logs import LogOwners, parse_owners
from mainstay.errors import InventoryError
from mainstay.inventory import Environment, load
from tests.plan.harness import Planned, plan
from tests.unit.inventories import copied, loaded
from tests.unit.releases import built

FOLDER, FILE = "/var/log/everydayai", "/var/log/everydayai/backend.log"
WHOLE = {FOLDER: "root:adm 750", FILE: "root:adm 640"}


@pytest.fixture(scope="module")
def env(tmp_path_factory: pytest.TempPathFactory) -> Environment:
    root = copied(tmp_path_factory.mktemp("plan-logs"))
    built(root)
    return loaded(root)


def text_of(env: Environment, path: str) -> str:
    return next(managed.content for managed in files.files(env, env.hosts["eai-app-1"]) if managed.path == path)


def present(env: Environment, found: dict[str, str], run: str | None = "r1") -> Planned:
    return plan(logs.present, [FILE], environment=env, member=env.hosts["eai-app-1"], facts={LogOwners: found}, run=run)


def test_only_hosts_of_a_service_with_a_file_have_anything(env: Environment) -> None:
    have = [name for name, host in env.hosts.items() if files.files(env, host)]
    assert have == ["eai-app-1", "eai-app-2", "eai-app-3"]
    for host in env.hosts.values():
        assert bool(deploy.needs(env, host)) == bool(deploy.starts(env, host)) == (host.name in have)


def test_lines_of_the_service_alone_are_copied(env: Environment) -> None:
    text = text_of(env, files.RSYSLOG)
    assert 'if $programname == "everydayai-backend" then {\n    action(type="omfile" file="' + FILE in text
    assert text.count("action(") == 1


@pytest.mark.covers("DF-75")
def test_rotation_has_the_inventory_s_limits_and_signals_rsyslog_alone(env: Environment) -> None:
    text = text_of(env, files.rotation_path(env))
    assert {"maxsize 104857600", "rotate 7", "create 0640 root adm"} <= {line.strip() for line in text.splitlines()}
    script = text.split("postrotate")[1].split("endscript")[0].split()
    assert script == ["/usr/lib/rsyslog/rsyslog-rotate"]
    assert "copytruncate" not in text


def test_what_is_there_is_no_change(env: Environment) -> None:
    assert present(env, WHOLE).commands == []


def test_a_folder_that_a_run_makes_goes_with_it(env: Environment) -> None:
    commands = present(env, {}).commands
    assert commands[0].endswith(f"journal save r1 {FOLDER}")
    assert commands[1] == f"install -d -m 750 -o root -g adm {FOLDER}"
    assert commands[2] == f"install -m 640 -o root -g adm /dev/null {FILE}"


def test_rights_are_put_right_without_touching_a_line(env: Environment) -> None:
    planned = present(env, {FOLDER: "root:root 755", FILE: "root:adm 644"})
    assert planned.commands == [
        f"chown -h root:adm {FOLDER} && chmod 750 {FOLDER}",
        f"chown -h root:adm {FILE} && chmod 640 {FILE}",
    ]
    assert f"{FILE}: root:adm 644 -> root:adm 640" in planned.said


def test_a_file_that_was_taken_away_is_written_to_again(env: Environment) -> None:
    """rsyslog holds the old one open, and would go on with what nobody can read."""
    assert present(env, {FOLDER: WHOLE[FOLDER]}).commands[-1] == logs.REOPEN


def test_two_services_have_two_files(tmp_path: Path) -> None:
    both = "logs:\n  files: {auth: /var/log/tchat/a.log, payment: /var/log/tchat/a.log}"
    root = copied(tmp_path, ("system.yaml", "logs:", both), system="tchat")
    with pytest.raises(InventoryError) as caught:
        load("tchat", "staging", root=root)
    assert str(caught.value).endswith(
        "logs.files.payment: found /var/log/tchat/a.log, which auth has, expected a file of its own"
    )


PATHS = st.from_regex(r"/[a-z]{1,9}(/[a-z.]{1,9}){0,3}", fullmatch=True)


@given(st.dictionaries(PATHS, st.sampled_from(sorted(WHOLE.values()))))
def test_reads_what_stat_prints(states: dict[str, str]) -> None:
    lines = [f"{state}\t{path}" for path, state in states.items()]
    assert parse_owners([*lines, "stat: something else"]) == states
