"""The host scripts on a tree of their own: what they put in place, and what a put-back leaves."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from mainstay.files import FileSet
from tests.unit.hosttree import RUN, Tree, change, new, populate


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    return new(tmp_path)


def test_a_set_is_put_in_place_with_mode_and_owner(tree: Tree) -> None:
    populate(tree)
    done = tree.install(change(tree))
    assert done.returncode == 0, done.stderr
    state = tree.state()
    assert state["etc/conf.d/plain"] == (0o100600, os.getuid(), os.getgid(), b"new\n")
    assert state["etc/conf.d/link"][3] == b"a file now\n"
    assert state["etc/deep"][0] == 0o040755
    assert "etc/conf.d/gone" not in state
    assert not list(tree.path.rglob("*.mainstay-*"))
    assert not list((tree.path / "root").glob("install.*"))


def test_put_back_restores_hashes_modes_owners_links_and_folders(tree: Tree) -> None:
    populate(tree)
    before = tree.state()
    tree.install(change(tree, activate="true"))
    done = tree.back()
    assert done.returncode == 0, done.stderr
    assert tree.state() == before
    assert (tree.path / "root/journal" / RUN / "state").read_text() == "back\n"


def test_put_back_after_two_steps_of_one_run_is_the_state_before_the_first(tree: Tree) -> None:
    populate(tree)
    before = tree.state()
    tree.install(change(tree))
    tree.install(FileSet([tree.file("etc/conf.d/plain", "newer\n"), tree.file("etc/conf.d/second", "x\n")]))
    assert tree.back().returncode == 0
    assert tree.state() == before


def test_two_runs_are_put_back_one_by_one(tree: Tree) -> None:
    populate(tree)
    before = tree.state()
    tree.install(change(tree), run="one")
    between = tree.state()
    tree.install(FileSet([tree.file("etc/conf.d/plain", "newer\n", 0o444)]), run="two")
    assert tree.back("two").returncode == 0
    assert tree.state() == between
    assert tree.back("one").returncode == 0
    assert tree.state() == before


def test_a_kept_folder_survives_changes_inside_it_in_either_order(tree: Tree) -> None:
    populate(tree)
    before = tree.state()
    folder, inside = tree.path / "etc/conf.d", tree.path / "etc/conf.d/plain"
    tree.call("journal", "save", RUN, str(inside))
    inside.write_text("first change\n")
    tree.call("journal", "save", RUN, str(folder))
    tree.call("journal", "save", RUN, str(folder / "with space"))
    (folder / "with space").write_text("second change\n")
    assert tree.back().returncode == 0
    assert tree.state() == before


@pytest.mark.parametrize("step", ["check", "activate"])
def test_a_refused_step_leaves_everything_as_it_was(tree: Tree, step: str) -> None:
    populate(tree)
    before = tree.state()
    refuses = "grep -q old " + str(tree.path / "etc/conf.d/plain") + " || { echo 'line 1: bad word' >&2; false; }"
    done = tree.install(change(tree, **{step: refuses}))
    assert done.returncode == 1
    last = done.stderr.strip().splitlines()
    assert "everything is as it was" in last[-1]
    assert "line 1: bad word" in last[-2]
    assert tree.state() == before


def test_a_step_that_cannot_be_undone_says_what_is_left(tree: Tree) -> None:
    populate(tree)
    done = tree.install(change(tree, check="false"))
    assert done.returncode == 1
    assert "left: 'false' refuses the old files" in done.stderr
    assert "except for what is named above" in done.stderr


def test_a_folder_in_the_way_changes_nothing(tree: Tree) -> None:
    populate(tree)
    (tree.path / "etc/taken").mkdir()
    before = tree.state()
    wanted = FileSet([tree.file("etc/conf.d/plain", "new\n"), tree.file("etc/taken", "new\n")])
    done = tree.install(wanted)
    assert done.returncode == 1
    assert "a folder stands at" in done.stderr
    assert tree.state() == before


def test_nothing_is_written_through_a_link_that_stands_beside(tree: Tree) -> None:
    populate(tree)
    victim = tree.path / "victim"
    victim.write_text("mine\n")
    (tree.path / "etc/conf.d/.plain.mainstay-new").symlink_to(victim)
    assert tree.install(change(tree)).returncode == 0
    assert victim.read_text() == "mine\n"


@pytest.mark.parametrize("word", ["disabled", "enabled-runtime"])
def test_units_are_started_before_new_ones_stop(tree: Tree, word: str) -> None:
    (tree.path / "enabled.old.service").write_text("enabled\n")
    (tree.path / "active.old.service").write_text("active\n")
    (tree.path / "enabled.new.service").write_text(f"{word}\n")
    tree.call("journal", "unit", RUN, "old.service", "true")
    tree.call("journal", "unit", RUN, "new.service")
    (tree.path / "active.old.service").write_text("inactive\n")
    (tree.path / "enabled.old.service").write_text("disabled\n")
    (tree.path / "enabled.new.service").write_text("enabled\n")
    (tree.path / "systemctl.log").unlink()
    assert tree.back().returncode == 0
    calls = [line.removeprefix("systemctl ") for line in tree.systemctl()]
    wanted = ["enable --quiet old.service", "stop new.service", "disable --quiet new.service"]
    assert [call for call in calls if call in wanted] == wanted
    assert "reset-failed new.service" in calls


def test_a_unit_that_does_not_answer_is_named(tree: Tree) -> None:
    (tree.path / "enabled.old.service").write_text("enabled\n")
    (tree.path / "active.old.service").write_text("active\n")
    tree.call("journal", "unit", RUN, "old.service", "false")
    done = tree.back()
    assert done.returncode == 1
    assert "left: old.service runs but does not answer" in done.stderr
    assert (tree.path / "root/journal" / RUN / "state").read_text() == "incomplete\n"


def test_ended_journals_are_pruned_and_open_ones_kept(tree: Tree) -> None:
    for number in range(9):
        tree.call("journal", "open", f"run-{number}")
        os.utime(tree.path / "root/journal" / f"run-{number}", (number, number))
    for number in range(1, 9):
        (tree.path / "root/journal" / f"run-{number}" / "state").write_text("done\n")
    tree.call("journal", "mark", "run-8", "done")
    kept = {path.name for path in (tree.path / "root/journal").iterdir()}
    assert "run-0" in kept, "still open"
    assert kept == {"run-0", *(f"run-{number}" for number in range(4, 9))}


@pytest.mark.parametrize("run", ["../x", "a b", ".hidden", ""])
def test_a_run_id_is_a_plain_name(tree: Tree, run: str) -> None:
    assert tree.call("journal", "open", run).returncode != 0


def test_what_plain_pyinfra_wrote_is_the_run_s_once_it_is_adopted_and_plain_again_after_a_put_back(tree: Tree) -> None:
    populate(tree)
    assert tree.install(FileSet([tree.file("etc/conf.d/plain", "new\n")]), run="-").returncode == 0
    before = tree.call("managed", "check").stdout
    assert f"plain\t{tree.path}/etc/conf.d/plain" in before.splitlines()
    done = tree.call("runs", "open", RUN, "{}")
    assert done.returncode == 0, done.stderr
    done = tree.call("managed", "adopt", RUN)
    assert done.returncode == 0, done.stderr
    assert tree.call("managed", "check").stdout.splitlines() == before.splitlines()[-1:], "the digest alone, unchanged"
    assert tree.back().returncode == 0
    assert tree.call("managed", "check").stdout == before
