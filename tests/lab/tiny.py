"""The small system of `fixtures/tiny`, rolled out by the real command in processes of its own."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

FIXTURE = Path(__file__).parent / "fixtures" / "tiny"
PRODUCTION = ("tiny-app-1", "tiny-app-2", "tiny-web-1")
HOSTS = ("tiny-stg", *PRODUCTION)
# Everything that the system's deploy manages, and what a put-back must not leave behind.
_STATE = r"""
cd /
find /etc/tiny /etc/systemd/system/tiny.service /var/lib/mainstay/managed -type f 2>/dev/null | sort |
    while read -r f; do echo "$(sha256sum < "$f") $(stat -c '%a %U:%G' "$f") $f"; done
find /etc/tiny /etc/systemd/system /var/lib/mainstay/managed | sort
find /etc/systemd/system -type l -exec readlink {} + | sort
systemctl is-active tiny.service; systemctl is-enabled tiny.service
true
"""


@dataclass
class Done:
    """A command that ended."""

    code: int
    out: str
    err: str

    @property
    def text(self) -> str:
        return self.out + self.err


@dataclass
class Tiny:
    """One project folder, one laptop, and the lab's hosts.

    `lab` is the lab's name; its hosts are cut, healed, killed and booted by `mainstay lab`.
    """

    project: Path
    laptop: Path
    lab: str
    number: int = 1

    def env(self) -> dict[str, str]:
        fixed = {
            "MAINSTAY_PROJECT": str(self.project),
            "MAINSTAY_LAB": self.lab,
            "XDG_STATE_HOME": str(self.laptop),
        }
        return {**os.environ, **fixed}

    def run(self, *words: str, timeout: float = 240) -> Done:
        """The real command; a hang is a failure."""
        command = [sys.executable, "-m", "mainstay", *words]
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=timeout, env=self.env(), check=False, cwd=self.project
        )
        return Done(done.returncode, done.stdout, done.stderr)

    def well(self, *words: str) -> Done:
        """The real command, which must end well; where it does not, the test says all that it printed."""
        done = self.run(*words)
        assert done.code == 0, f"mainstay {' '.join(words)} ended with {done.code}:\n{done.text}"
        return done

    def start(self, *words: str) -> subprocess.Popen[str]:
        """The real command, going on beside the test, in a process group of its own as under a shell."""
        return subprocess.Popen(
            [sys.executable, "-m", "mainstay", *words],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=self.env(),
            cwd=self.project,
            start_new_session=True,
        )

    def ask(self, host: str, script: str) -> str:
        """What a script says as root on a host, over a connection that Mainstay has no part in."""
        done = subprocess.run(
            [sys.executable, "-m", "mainstay", "lab", "ssh", host, "sudo", "bash", "-s"],
            input=script, capture_output=True, text=True, timeout=60, env=self.env(), check=True, cwd=self.project,
        )  # fmt: skip
        return done.stdout

    def outside(self, verb: str, *words: str) -> None:
        """`mainstay lab cut|heal|kill|up`: what happens to a host without its knowing."""
        done = self.run("lab", verb, *words)
        assert done.code == 0, done.text

    def state(self) -> dict[str, str]:
        """Hashes, modes, owners, links and units of production's hosts."""
        return {host: self.ask(host, _STATE) for host in PRODUCTION}

    def journals(self, host: str) -> dict[str, str]:
        """The state of each run's journal on a host."""
        script = (
            'cd /var/lib/mainstay/journal 2>/dev/null && for s in */state; do echo "${s%/state} $(cat $s)"; done; true'
        )
        return dict(line.split() for line in self.ask(host, script).splitlines())

    def next_version(self) -> int:
        """Makes the tree say that hosts should be at a version that none has had."""
        self.version(self.number + 1)
        return self.number

    def version(self, number: int) -> None:
        """Makes the tree say that hosts should be at this version."""
        self.number = number
        path = self.project / "deploys" / "components" / "tiny" / "files.py"
        path.write_text(re.sub(r'VERSION = "\d+"', f'VERSION = "{number}"', path.read_text()))

    def faults(self, **faults: str) -> None:
        """Which host fails where; `pause` is the seconds that each step takes."""
        named = {name.replace("_", "-"): where for name, where in faults.items()}
        (self.project / "faults.json").write_text(json.dumps(named))

    def status(self, env: str = "production") -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.run("status", f"tiny/{env}", "--json").out)["environments"][0]
        return found

    def emergency(self) -> list[str]:
        """The words of a rollout to production alone, round the gate."""
        return ["rollout", "tiny", "--env", "production", "--emergency", "--reason", "a test"]


def new(project: Path, laptop: Path, lab: str) -> Tiny:
    """A project folder of its own, so that a test may change it."""
    shutil.copytree(FIXTURE, project)
    return Tiny(project, laptop, lab)


def wait_for(process: subprocess.Popen[str], words: str, timeout: float = 120) -> str:
    """Reads what a command says until it says `words`; what it said so far."""
    assert process.stderr is not None
    said = ""
    deadline = time.monotonic() + timeout
    while words not in said:
        assert time.monotonic() < deadline, f"waited for {words!r}, heard:\n{said}"
        line = process.stderr.readline()
        assert line or process.poll() is None, f"ended before {words!r}:\n{said}"
        said += line
    return said


def finish(process: subprocess.Popen[str], said: str = "", timeout: float = 240) -> Done:
    """The end of a command that was started."""
    out, err = process.communicate(timeout=timeout)
    return Done(process.returncode, out, said + err)


def kill(process: subprocess.Popen[str], number: signal.Signals) -> None:
    """A signal to the command alone, as `kill PID` sends it."""
    if process.poll() is None:
        os.kill(process.pid, number)
