"""The host scripts when things go wrong: cut-off uploads, kills at any moment, a laptop that goes away, a full disk."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from mainstay.files import FileSet
from tests.unit.hosttree import KIT, RUN, Tree, archive, change, end_strays, new, populate, wait_for


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    return new(tmp_path)


def test_a_cut_off_upload_changes_nothing(tree: Tree) -> None:
    populate(tree)
    before = tree.state()
    whole = archive(change(tree))
    for length in range(0, len(whole) - 1024, 512):
        done = tree.call("install-files", RUN, stdin=whole[:length])
        if done.returncode == 0:
            # The end of a tar is zeros; everything that counts had arrived.
            assert length > whole.rindex(b"new\n")
            break
        assert tree.state() == before, length


@pytest.mark.parametrize("stop_at", ["check", "activate"])
def test_kill_in_mid_step_is_put_back_by_the_journal(tree: Tree, stop_at: str) -> None:
    populate(tree)
    before = tree.state()
    marker = tree.path / "reached"
    wait = f"touch {marker}; exec sleep 60"
    wanted = change(tree, **{stop_at: wait})
    process = subprocess.Popen(
        [str(KIT / "install-files"), RUN], stdin=subprocess.PIPE, env=tree.env, start_new_session=True
    )
    assert process.stdin
    process.stdin.write(archive(wanted))
    process.stdin.close()
    wait_for(marker.exists)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    end_strays(tree)
    assert tree.state() != before
    # Its own check would wait again; what is looked at here is the files.
    (tree.path / "root/journal" / RUN / "actions").write_text("\ttrue\n")
    done = tree.back()
    assert done.returncode == 0, done.stderr
    assert tree.state() == before
    assert tree.install(FileSet([tree.file("etc/conf.d/plain", "new\n")]), run="later").returncode == 0
    assert not list((tree.path / "root").glob("install.*")), "what the killed step left is cleaned up by the next"


def test_kill_at_any_moment_is_put_back_by_the_journal(tree: Tree) -> None:
    populate(tree)
    before = tree.state()
    payload = archive(change(tree))
    for number in range(25):
        run = f"run-{number}"
        process = subprocess.Popen(
            [str(KIT / "install-files"), run],
            stdin=subprocess.PIPE,
            env=tree.env,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        assert process.stdin
        process.stdin.write(payload)
        process.stdin.close()
        time.sleep(0.004 * number)
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        done = tree.back(run)
        assert done.returncode == 0, (number, done.stderr)
        assert tree.state() == before, number


def test_signals_of_a_laptop_that_goes_away_do_not_stop_a_step(tree: Tree) -> None:
    populate(tree)
    marker = tree.path / "reached"
    wanted = change(tree, activate=f"touch {marker}; sleep 1")
    process = subprocess.Popen([str(KIT / "install-files"), RUN], stdin=subprocess.PIPE, env=tree.env)
    assert process.stdin
    process.stdin.write(archive(wanted))
    process.stdin.close()
    wait_for(marker.exists)
    for number in (signal.SIGHUP, signal.SIGTERM, signal.SIGINT):
        os.kill(process.pid, number)
    assert process.wait() == 0
    assert tree.state()["etc/conf.d/plain"][3] == b"new\n"


@pytest.fixture
def small_disk(tree: Tree) -> Iterator[Tree]:
    """etc/ and the journal on a file system of 1 MiB."""
    if os.getuid() != 0:
        pytest.skip("only root can mount a small file system")
    disk = tree.path / "disk"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "none", str(disk)], check=True)
    small = Tree(disk, {**tree.env, "MAINSTAY_ROOT": str(disk / "root")})
    (disk / "etc").mkdir()
    try:
        yield small
    finally:
        subprocess.run(["umount", str(disk)], check=True)


@pytest.mark.parametrize("room", range(0, 200, 20))
def test_a_full_disk_changes_nothing(small_disk: Tree, room: int) -> None:
    tree = small_disk
    populate(tree)
    (tree.path / "etc/conf.d/plain").write_text("old\n" * 8000)
    before = tree.state()
    fill(tree.path, room)
    wanted = change(tree)
    wanted = FileSet([*wanted.files, tree.file("etc/conf.d/big", "new\n" * 8000)], wanted.remove)
    done = tree.install(wanted)
    if done.returncode == 0:
        assert room >= 80, "the files, their copies and the journal need at least this"
        return
    assert "nothing was changed" in done.stderr
    assert tree.state() == before
    (tree.path / "filler").unlink()
    assert tree.install(wanted).returncode == 0, "the same command works once there is room"


def test_a_disk_that_fills_up_afterwards_does_not_keep_the_old_files_away(small_disk: Tree) -> None:
    tree = small_disk
    populate(tree)
    (tree.path / "etc/conf.d/plain").write_text("old\n" * 8000)
    before = tree.state()
    assert tree.install(change(tree)).returncode == 0
    fill(tree.path, 0)
    done = tree.back()
    assert tree.state() == before, done.stderr


def test_a_full_disk_that_kept_the_files_as_they_were_has_nothing_to_put_back(small_disk: Tree) -> None:
    tree = Tree(small_disk.path, {**small_disk.env, "MAINSTAY_ROOT": str(small_disk.path.parent / "root")})
    populate(tree)
    fill(tree.path, 0)
    before = tree.state()
    done = tree.install(change(tree))
    assert "etc/conf.d/plain (No space left on device); nothing was changed" in done.stderr
    done = tree.back()
    assert done.returncode == 0, done.stderr
    assert tree.state() == before


def fill(disk: Path, room: int) -> None:
    """Leaves `room` KiB."""
    free = shutil.disk_usage(disk).free - room * 1024
    with (disk / "filler").open("wb") as out:
        out.write(b"\0" * max(free, 0))
