"""The host scripts on a tree of their own: what they leave behind when all goes well, and when it does not.

systemd is not asked here: a recorder stands in its place on PATH. tests/lab/test_deadman.py has the real one.
"""

from __future__ import annotations

import grp
import os
import pwd
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from mainstay.files import FileSet, ManagedFile

KIT = Path(__file__).parents[2] / "templates" / "hostkit"
ME = pwd.getpwuid(os.getuid()).pw_name
MINE = grp.getgrgid(os.getgid()).gr_name
RUN = "20260101T000000Z-abc"


@dataclass
class Tree:
    """A folder that plays the host."""

    path: Path
    env: dict[str, str] = field(default_factory=dict)

    def file(self, name: str, content: str, mode: int = 0o644) -> ManagedFile:
        return ManagedFile(str(self.path / name), content, ME, MINE, mode)

    def call(self, script: str, *args: str, stdin: bytes = b"") -> subprocess.CompletedProcess[str]:
        done = subprocess.run([str(KIT / script), *args], input=stdin, env=self.env, capture_output=True, check=False)
        return subprocess.CompletedProcess(done.args, done.returncode, done.stdout.decode(), done.stderr.decode())

    def install(self, wanted: FileSet, run: str = RUN) -> subprocess.CompletedProcess[str]:
        return self.call("install-files", run, stdin=archive(wanted))

    def back(self, run: str = RUN) -> subprocess.CompletedProcess[str]:
        return self.call("journal", "back", run)

    def state(self) -> dict[str, tuple[object, ...]]:
        """Everything below etc/: kind, mode, owner, group, content or target."""
        found: dict[str, tuple[object, ...]] = {}
        for path in sorted((self.path / "etc").rglob("*")):
            stat = path.lstat()
            content = path.readlink() if path.is_symlink() else path.read_bytes() if path.is_file() else ""
            found[str(path.relative_to(self.path))] = (stat.st_mode, stat.st_uid, stat.st_gid, content)
        return found

    def systemctl(self) -> list[str]:
        log = self.path / "systemctl.log"
        return log.read_text().splitlines() if log.exists() else []


def archive(wanted: FileSet) -> bytes:
    return wanted.archive(lambda text: text)


RECORDER = """#!/bin/bash
printf '%s\\n' "${0##*/} $*" >> "$TREE/systemctl.log"
unit=${!#}
case $1 in
is-enabled) cat "$TREE/enabled.$unit" 2>/dev/null || exit 1 ;;
enable|disable) echo "$1d" > "$TREE/enabled.$unit" ;;
is-active) cat "$TREE/active.$unit" 2>/dev/null || { echo inactive; exit 3; } ;;
esac
"""


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    tools = tmp_path / "tools"
    tools.mkdir()
    for name in ("systemctl", "systemd-run"):
        (tools / name).write_text(RECORDER)
        (tools / name).chmod(0o755)
    (tmp_path / "etc").mkdir()
    env = {"PATH": f"{tools}:{os.environ['PATH']}", "TREE": str(tmp_path), "MAINSTAY_ROOT": str(tmp_path / "root")}
    return Tree(tmp_path, env)


def populate(tree: Tree) -> None:
    etc = tree.path / "etc"
    (etc / "conf.d").mkdir()
    (etc / "conf.d" / "plain").write_text("old\n")
    (etc / "conf.d" / "plain").chmod(0o640)
    (etc / "conf.d" / "with space").write_text("old too\n")
    (etc / "conf.d" / "link").symlink_to("plain")
    (etc / "conf.d" / "gone").write_bytes(b"\x00binary\xff")
    if os.getuid() == 0:
        os.chown(etc / "conf.d" / "plain", 65534, 65534)


def change(tree: Tree, check: str = "", activate: str = "", deadman: int | None = None) -> FileSet:
    files = [
        tree.file("etc/conf.d/plain", "new\n", 0o600),
        tree.file("etc/conf.d/with space", "new\n"),
        tree.file("etc/conf.d/link", "a file now\n"),
        tree.file("etc/deep/er/fresh", "new\n"),
    ]
    gone = str(tree.path / "etc/conf.d/gone")
    return FileSet(files, [gone], check=check, activate=activate, units=["a.service"], deadman=deadman)


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
    process = subprocess.Popen([str(KIT / "install-files"), RUN], stdin=subprocess.PIPE, env=tree.env,
                               start_new_session=True)
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
        process = subprocess.Popen([str(KIT / "install-files"), run], stdin=subprocess.PIPE, env=tree.env,
                                   stderr=subprocess.DEVNULL, start_new_session=True)
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


def fill(disk: Path, room: int) -> None:
    """Leaves `room` KiB."""
    free = shutil.disk_usage(disk).free - room * 1024
    with (disk / "filler").open("wb") as out:
        out.write(b"\0" * max(free, 0))


def test_units_are_started_before_new_ones_stop(tree: Tree) -> None:
    (tree.path / "enabled.old.service").write_text("enabled\n")
    (tree.path / "active.old.service").write_text("active\n")
    (tree.path / "enabled.new.service").write_text("disabled\n")
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


# The dead man's switch, without its clock: systemd's part is in tests/lab/test_deadman.py.


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


def wait_for(condition: object, seconds: float = 10) -> None:
    deadline = time.monotonic() + seconds
    while not condition():  # type: ignore[operator]
        assert time.monotonic() < deadline
        time.sleep(0.01)


def end_strays(tree: Tree) -> None:
    """`timeout` gives the step's command a process group of its own: end the one that names this tree."""
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            line = (entry / "environ").read_bytes()
        except OSError:
            continue
        if f"TREE={tree.path}\0".encode() in line:
            os.kill(int(entry.name), signal.SIGKILL)
