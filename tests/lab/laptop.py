"""An operator's laptop: a project, an age identity, a memory of its own; the real command, each in its own process."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mainstay.lab.lab import Lab

ROOT = Path(__file__).parents[2]
SYSTEM = "everydayai"
# Everything that a deploy may touch: content, owner, mode, links, and what systemd makes of it. Units that timers start
# by themselves are left out, and so is what a change leaves behind on purpose: the ledger, its journals, the lease.
FINGERPRINT = r"""
export LC_ALL=C
cd /
where="/etc /opt /usr/local /var/www /srv /home /root"
find $where -xdev \( -path /etc/.pwd.lock -o -name __pycache__ \) -prune -o \
    \( -type l -printf 'link %p -> %l\n' -o -printf '%y %m %u:%g %p\n' \) 2>/dev/null | sort
find $where /var/lib/mainstay/managed -xdev -type f -not -path '*/__pycache__/*' -print0 2>/dev/null |
    sort -z | xargs -0r sha256sum
own='^(apt-daily|dpkg-db|e2scrub|logrotate|man-db|systemd-|run-|user|session|ssh@)'
systemctl list-units --all --no-legend --plain --type=service,timer,socket,path |
    awk -v own="$own" '$1 !~ own {print "unit", $1, $3, $4}' | sort
systemctl list-unit-files --no-legend --plain --type=service,timer,socket | awk '{print "enabled", $1, $2}' | sort
"""


@dataclass
class Done:
    """A command that ended, and how long it took."""

    code: int
    out: str
    err: str
    seconds: float

    @property
    def text(self) -> str:
        """All that it printed."""
        return self.out + self.err

    @property
    def json(self) -> Any:
        """Its standard output, read."""
        return json.loads(self.out)

    @property
    def errors(self) -> list[str]:
        """Its error messages, one a line."""
        return [line.removeprefix("mainstay: ") for line in self.err.splitlines() if line.startswith("mainstay: ")]


@dataclass(frozen=True)
class Laptop:
    """One operator in one lab.

    Attributes:
        folder: holds `project/` and `state/` (XDG_STATE_HOME).
        lab: the name of the lab whose hosts every command reaches.
        identity: the age identity that opens the project's secrets.
    """

    folder: Path
    lab: str
    identity: Path
    variables: dict[str, str] = field(default_factory=dict)

    @property
    def project(self) -> Path:
        """The folder with inventories, artefacts and whatever a test lays over the bundled parts."""
        return self.folder / "project"

    @property
    def env(self) -> dict[str, str]:
        """The surroundings of every command."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith("MAINSTAY_")}
        own = {
            "MAINSTAY_PROJECT": self.project,
            "MAINSTAY_LAB": self.lab,
            "MAINSTAY_AGE_IDENTITY": self.identity,
            "XDG_STATE_HOME": self.folder / "state",
        }
        return {**kept, **{name: str(value) for name, value in own.items()}, **self.variables}

    def mainstay(self, *words: str, stdin: str | None = None, timeout: float = 600) -> Done:
        """The real command; a hang is a failure."""
        return self.run(sys.executable, "-m", "mainstay", *words, stdin=stdin, timeout=timeout)

    def run(self, *argv: str, stdin: str | None = None, timeout: float = 600) -> Done:
        """Any program, in the project's folder."""
        started = time.monotonic()
        done = subprocess.run(
            argv, input=stdin, stdin=None if stdin is not None else subprocess.DEVNULL, capture_output=True, text=True,
            timeout=timeout, env=self.env, check=False, cwd=self.project,
        )  # fmt: skip
        return Done(done.returncode, done.stdout, done.stderr, time.monotonic() - started)

    def start(self, *words: str) -> subprocess.Popen[str]:
        """The real command, going on beside the test, in a process group of its own as under a shell."""
        return subprocess.Popen(
            [sys.executable, "-m", "mainstay", *words],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=self.env,
            cwd=self.project, start_new_session=True,
        )  # fmt: skip

    def sh(self, host: str, script: str) -> str:
        """What a script says as root on a host, past its sshd, firewall and operators."""
        done = Lab(self.lab).inside(host, "bash", "-c", script)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def fingerprints(self, hosts: Iterable[str]) -> dict[str, list[str]]:
        """What each host is: files with modes, owners and digests, links, and units with their states."""
        names = list(hosts)
        with ThreadPoolExecutor(len(names)) as pool:
            return dict(zip(names, (text.splitlines() for text in pool.map(self._fingerprint, names)), strict=True))

    def _fingerprint(self, host: str) -> str:
        return self.sh(host, FINGERPRINT)

    def edit(self, file: str, old: str, new: str, system: str = SYSTEM) -> None:
        """Changes one piece of one of the system's files."""
        path = self.project / "inventories" / system / file
        text = path.read_text(encoding="utf-8")
        assert old in text, f"{file} no longer holds {old!r}"
        path.write_text(text.replace(old, new, 1), encoding="utf-8")

    def copy(self, folder: Path, lab: str | None = None) -> Laptop:
        """Another laptop with the same project, secrets and identity, and a memory of its own."""
        shutil.copytree(self.project, folder / "project", symlinks=True)
        return Laptop(folder, lab or self.lab, self.identity)


def build(system: str) -> None:
    """The stand-ins of a shipped system in the tree's `artefacts`; workers that need the same ones wait in turn."""
    (ROOT / "artefacts").mkdir(exist_ok=True)
    with (ROOT / "artefacts" / ".building").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        command = [sys.executable, "workload/build.py", system]
        built = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert built.returncode == 0, built.stderr


def new(folder: Path, lab: str, *systems: str) -> Laptop:
    """A laptop with shipped systems, by default `SYSTEM`; artefacts linked, identity and secrets made for it alone."""
    laptop = Laptop(folder, lab, folder / "identity.txt")
    (laptop.project / "artefacts").mkdir(parents=True)
    for path in (ROOT / "artefacts").glob("*.tar"):
        (laptop.project / "artefacts" / path.name).symlink_to(path)
    for system in systems or (SYSTEM,):
        target = laptop.project / "inventories" / system
        target.mkdir(parents=True)
        for path in (ROOT / "inventories" / system).iterdir():
            if path.is_file() and not path.name.startswith("secrets."):
                shutil.copy(path, target)
        for env in ("staging", "production"):
            done = laptop.mainstay("secrets", "generate", f"{system}/{env}", "--stand-ins")
            assert done.code == 0, done.text
    return laptop
