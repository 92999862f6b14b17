"""The dead man's switch without its clock: systemd's part is in tests/lab/test_deadman.py."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from mainstay.files import FileSet
from tests.unit.hosttree import Tree, change, new, populate


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    return new(tmp_path)


def test_fire_restores_and_a_later_confirmation_is_told_so(tree: Tree) -> None:
    populate(tree)
    before = tree.state()
    wanted = change(tree, deadman=45)
    done = tree.install(wanted)
    assert done.returncode == 0, done.stderr
    armed = [line for line in tree.systemctl() if line.startswith("systemd-run") and "--on-active=45" in line]
    assert armed and armed[0].endswith("deadman fire")
    assert tree.call("deadman", "state").stdout.startswith("armed")
    assert tree.call("deadman", "fire").returncode == 0
    assert tree.state() == before
    late = tree.call("deadman", "confirm", wanted.token)
    assert late.returncode == 1
    assert "too late" in late.stderr
    assert tree.call("deadman", "state").stdout.startswith("fired 20")
    assert tree.install(change(tree, deadman=45)).returncode == 0, "the next change may come"


def test_confirm_disarms_and_may_be_asked_twice(tree: Tree) -> None:
    populate(tree)
    wanted = change(tree, deadman=45)
    tree.install(wanted)
    after = tree.state()
    assert tree.call("deadman", "confirm", wanted.token).returncode == 0
    assert tree.call("deadman", "confirm", wanted.token).returncode == 0, "the first answer may have been lost"
    tree.call("deadman", "fire")
    assert tree.state() == after
    assert tree.call("deadman", "state").stdout == "idle\n"


def test_only_the_own_change_is_confirmed(tree: Tree) -> None:
    populate(tree)
    tree.install(change(tree, deadman=45))
    assert tree.call("deadman", "confirm", "another").returncode == 1
    assert tree.call("deadman", "state").stdout.startswith("armed")


def test_a_second_change_waits_for_the_first(tree: Tree) -> None:
    populate(tree)
    tree.install(change(tree, deadman=45))
    after = tree.state()
    done = tree.install(FileSet([tree.file("etc/conf.d/plain", "third\n")], deadman=45), run="two")
    assert done.returncode == 1
    assert "another change waits for its confirmation" in done.stderr
    assert tree.state() == after


def test_a_refused_change_is_disarmed(tree: Tree) -> None:
    populate(tree)
    before = tree.state()
    refuses = "grep -q old " + str(tree.path / "etc/conf.d/plain")
    assert tree.install(change(tree, check=refuses, deadman=45)).returncode == 1
    assert tree.state() == before
    assert tree.call("deadman", "state").stdout == "idle\n"
    assert any(line == "systemctl stop mainstay-deadman.timer" for line in tree.systemctl())


@pytest.mark.parametrize("left_at", ["armed", "firing"])
def test_a_host_that_went_down_before_the_confirmation_starts_as_it_was(tree: Tree, left_at: str) -> None:
    populate(tree)
    before = tree.state()
    tree.install(change(tree, deadman=45))
    folder = tree.path / "root/deadman"
    (folder / "armed").rename(folder / left_at)
    assert tree.call("deadman", "boot").returncode == 0
    assert tree.state() == before
    assert "at boot" in tree.call("deadman", "state").stdout
    assert tree.call("deadman", "boot").returncode == 0, "the next boot has nothing to do"


def test_without_a_timer_nothing_is_changed(tree: Tree) -> None:
    populate(tree)
    before = tree.state()
    (tree.path / "tools/systemd-run").write_text("#!/bin/sh\necho 'Failed to connect to bus' >&2\nexit 1\n")
    done = tree.install(change(tree, deadman=45))
    assert done.returncode == 1
    assert "cannot promise to undo" in done.stderr
    assert tree.state() == before
    assert tree.call("deadman", "state").stdout == "idle\n"


def test_a_step_that_hangs_is_undone_before_the_timer(tree: Tree) -> None:
    populate(tree)
    before = tree.state()
    hangs = f"grep -q old {tree.path}/etc/conf.d/plain || sleep 30"
    started = time.monotonic()
    done = tree.install(change(tree, activate=hangs, deadman=20))
    assert time.monotonic() - started < 15
    assert done.returncode == 1
    assert "no end within 5 s" in done.stderr
    assert tree.state() == before
