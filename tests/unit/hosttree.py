"""A folder that plays a host for the host scripts, and what stands on it.

systemd is not asked here: a recorder stands in its place on PATH. tests/lab/test_deadman.py has the real one.
"""

from __future__ import annotations

import grp
import os
import pwd
import signal
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path

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


def new(folder: Path) -> Tree:
    """An empty host below `folder`."""
    tools = folder / "tools"
    tools.mkdir()
    for name in ("systemctl", "systemd-run"):
        (tools / name).write_text(RECORDER)
        (tools / name).chmod(0o755)
    (folder / "etc").mkdir()
    env = {"PATH": f"{tools}:{os.environ['PATH']}", "TREE": str(folder), "MAINSTAY_ROOT": str(folder / "root")}
    return Tree(folder, env)


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
