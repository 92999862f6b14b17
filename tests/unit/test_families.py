"""What goes together says the same as each question by itself."""

from __future__ import annotations

import shlex
import subprocess
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from facts.files import FileStates
from facts.psql import query
from facts.service import ServiceUser, Slots, parse_slots
from facts.units import UnitStates, parse_units
from mainstay.families import Words, family_of


def sh(command: str) -> bytes:
    """As the runner starts a question."""
    return subprocess.run(["sh", "-c", command], capture_output=True, stdin=subprocess.DEVNULL, check=False).stdout


def together(*commands: str) -> list[bytes] | None:
    """Their answers, asked as one of this machine."""
    families = [family_of(command) for command in commands]
    assert families[0] is not None and all(one == families[0] for one in families), commands
    family, _ = families[0]
    return family.parted(commands, sh(family.joined(commands)))


NAMES = ["plain", "with space", "it's", "*", "[a]", "a$HOME", "tab\there", ".hidden", "folder", "link", "ünï"]


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("tree")
    for folder in (root, root / "folder", root / "with space.d"):
        folder.mkdir(exist_ok=True)
        for name in NAMES:
            if name not in ("folder", "link"):
                (folder / name).write_text(f"{folder}{name}")
    (root / "link").symlink_to("plain")
    return root


PATHS = st.lists(st.sampled_from([*NAMES, "none", "folder/plain", "folder/*"]), max_size=4, unique=True)
FOLDERS = st.lists(st.sampled_from(["folder", "with space.d", "no.d"]), max_size=2, unique=True)


@given(asked=st.lists(st.tuples(PATHS, FOLDERS).filter(any), min_size=2, max_size=5))
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_files_are_the_same_together(tree: Path, asked: list[tuple[list[str], list[str]]]) -> None:
    fact = FileStates()
    commands = [fact.command([f"{tree}/{p}" for p in paths], [f"{tree}/{f}" for f in below]) for paths, below in asked]
    shaped = [command for command in commands if family_of(command)]
    assert len(shaped) == len(commands)
    answers = together(*commands)
    assert answers is not None
    for command, answer in zip(commands, answers, strict=True):
        alone = sh(command)
        assert fact.process(answer.decode().splitlines()) == fact.process(alone.decode().splitlines())


def test_a_name_with_a_newline_is_asked_about_by_itself(tmp_path: Path) -> None:
    (tmp_path / "two\nlines").write_text("")
    (tmp_path / "one").write_text("")
    commands = [FileStates().command([str(tmp_path / "one")]), FileStates().command([str(tmp_path / "two\nlines")])]
    family, _ = family_of(commands[0]) or pytest.fail("no family")
    assert family.parted(commands, sh(family.joined(commands))) is None


def test_accounts_are_the_same_together() -> None:
    commands = [ServiceUser().command(user) for user in ("nobody", "no-such-user", "root", "daemon", "root")]
    assert together(*commands) == [sh(command) for command in commands]
    assert family_of(ServiceUser().command("0")) is None, "getent gives the account another name"


UNITS = b"Id=a.service\nActiveState=active\n\nId=b.service\nLoadState=not-found\n\nId=real.service\nMainPID=7\n"


def test_units_are_told_apart_by_their_order() -> None:
    commands = [UnitStates().command(names) for names in (["a.service", "alias.service"], ["b.service"], ["a.service"])]
    family, _ = family_of(commands[0]) or pytest.fail("no family")
    assert family.joined(commands) == UnitStates().command(["a.service", "alias.service", "b.service"])
    out = UNITS.replace(b"b.service", b"x").replace(b"real.service", b"b.service").replace(b"Id=x", b"Id=real.service")
    parts = family.parted(commands, out)
    assert parts is not None
    blocks = out.removesuffix(b"\n").split(b"\n\n")
    assert parts == [b"\n\n".join(blocks[:2]) + b"\n", blocks[2] + b"\n", blocks[0] + b"\n"]
    assert list(parse_units(parts[1].decode().splitlines())) == ["b.service"]


@pytest.mark.parametrize("out", [b"", UNITS[:-40], UNITS + b"\nId=more\n", b"Failed to get properties\n"])
def test_units_that_cannot_be_told_apart_are_asked_each(out: bytes) -> None:
    commands = [UnitStates().command([name]) for name in ("a.service", "b.service", "c.service")]
    family, _ = family_of(commands[0]) or pytest.fail("no family")
    assert family.parted(commands, out) is None


def test_a_pattern_of_units_goes_alone() -> None:
    assert family_of(UnitStates().command(["shop-*.service"])) is None


def databases(*names: str) -> list[str]:
    return [query(15, "main", name, f"SELECT 'it''s', '{name}'") for name in names]


MARK = b"-- mainstay answers "


@pytest.mark.parametrize(
    ("out", "parts"),
    [
        (MARK + b"one\n1\n" + MARK + b"two\n2\n", [b"1\n", b"2\n"]),
        # psql could not connect to one: alone it would have said nothing either.
        (MARK + b":DBNAME\n" + MARK + b"two\n2\n", [b"", b"2\n"]),
        (MARK + b"one\n" + MARK + b"two\n2\n3\n", [b"", b"2\n3\n"]),
        # It never started, stopped halfway, or answers from elsewhere.
        (b"", None),
        (MARK + b"one\n1\n", None),
        (MARK + b"one\n1\n" + MARK + b"one\n2\n", None),
        (b"a warning\n" + MARK + b"one\n1\n" + MARK + b"two\n2\n", None),
    ],
)
def test_databases_are_told_apart_by_where_psql_is(out: bytes, parts: list[bytes] | None) -> None:
    commands = databases("one", "two")
    family, _ = family_of(commands[0]) or pytest.fail("no family")
    assert family.parted(commands, out) == parts


def test_only_questions_to_one_cluster_whose_databases_have_plain_names_go_together() -> None:
    one, two = databases("one", "two")
    assert family_of(one) == family_of(two)
    other = query(15, "second", "one", "SELECT 1")
    assert family_of(other) is not None and family_of(other) != family_of(one)
    assert family_of(query(15, "main", "With Space", "SELECT 1")) is None
    assert family_of(f"{one}; rm -rf /tmp/x; {two}") is None, "more than one question"
    assert family_of(one.replace("postmaster.pid ]", "postmaster.pid.old ]", 1)) is None


def test_databases_are_asked_by_one_psql_each_with_all_that_it_needs_to_connect(tmp_path: Path) -> None:
    """What the shell makes of the command, by a psql that prints its arguments."""
    commands = databases("one", "two")
    family, _ = family_of(commands[0]) or pytest.fail("no family")
    pidfile, psql = "/var/lib/postgresql/15/main/postmaster.pid", "/usr/lib/postgresql/15/bin/psql"
    (tmp_path / "pid").write_text("1\n/data\n2\n5433\n/run/a b\n*\n")
    (tmp_path / "psql").write_text("#!/bin/sh\nprintf '%s\\n' \"$@\"\n")
    (tmp_path / "psql").chmod(0o755)
    joined = family.joined(commands).replace(pidfile, f"{tmp_path}/pid").replace(psql, f"{tmp_path}/psql")
    joined = joined.replace("setpriv --reuid=postgres --regid=postgres --init-groups ", "")
    said = sh(joined).decode().splitlines()
    assert said == [
        "-XAtqw", "-h", "/run/a b", "-p", "5433", "-d", "postgres",
        "-c", "\\connect one postgres '/run/a b' 5433", "-c", "\\echo -- mainstay answers :DBNAME",
        "-c", "SELECT 'it''s', 'one'",
        "-c", "\\connect two postgres '/run/a b' 5433", "-c", "\\echo -- mainstay answers :DBNAME",
        "-c", "SELECT 'it''s', 'two'",
    ]  # fmt: skip


def test_slots_are_the_same_together(tmp_path: Path) -> None:
    """systemd may not run here: what it would say is checked on real hosts, how it is parted is checked below."""
    commands = []
    for name in ("a", "b", "none"):
        base = tmp_path / "opt" / name
        if name != "none":
            (base / "slots").mkdir(parents=True)
            (base / "slots" / "blue.json").write_text('{"version":\n "1.0.0"}\n')
            (base / "current").symlink_to(f"releases/{name}-1.0.0")
            (tmp_path / f"{name}.conf").write_text("upstream x {\n# slot blue\n}\n")
        commands.append(Slots().command(str(base), f"unit-{name}", str(tmp_path / f"{name}.conf")))
    answers = together(*commands)
    assert answers == [sh(command) for command in commands]
    assert parse_slots(answers[0].decode().splitlines()).slots == {"blue": {"version": "1.0.0"}}
    assert answers[2] == b""


def test_units_that_run_belong_to_the_service_of_their_name() -> None:
    commands = [Slots().command(f"/opt/{name}", name, f"/etc/{name}") for name in ("s-a", "s-ab")]
    family, _ = family_of(commands[0]) or pytest.fail("no family")
    runs = b"runs\ts-ab@1.service\nruns\ts-a@2.service\n"
    out = b"# service\nserves\tblue\n# service\n# service\n" + runs
    first, second = family.parted(commands, out) or pytest.fail("not parted")
    assert first == b"serves\tblue\nruns\ts-a@2.service\n"
    assert second == b"runs\ts-ab@1.service\n"
    assert family.parted(commands, b"# service\n# service\n") is None


@given(st.text(alphabet="ab '\"*;&|<>()`$\n\\#", max_size=12))
def test_words_are_one_list_and_nothing_else(text: str) -> None:
    """Whatever stands between the two halves: only what a shell reads as words of one command counts."""
    shape = Words("set -f; set -- ", "; echo $#")
    words = shape.of(shape.command(text))
    if words is None:
        return
    ran = sh(shape.command(words)).decode().splitlines()
    assert ran == [str(len(shlex.split(words)))], words
