"""The system of `fixtures/ground` in a lab of its own: hosts with nothing but base."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from unittest import mock

from mainstay import ssh
from mainstay.errors import HostError
from mainstay.inventory import Environment
from mainstay.lab.paths import LabPaths
from tests.lab.bench import ROOT, Bench

FIXTURE = Path(__file__).parent / "fixtures" / "ground"
WEB, CACHE, APP = "ground-web", "ground-cache", "ground-app"
HOSTS = (WEB, CACHE, APP)


class Ground(Bench):
    """The bench, and what an operator's own template or a power cut does to it."""

    @property
    def environment(self) -> Environment:
        """As the files say now; the project's own component is found by the project that the environment names."""
        with mock.patch.dict(os.environ, MAINSTAY_PROJECT=str(self.project)):
            return super().environment

    def outside(self, *words: str) -> None:
        """`mainstay lab ...`."""
        done = self.mainstay("lab", *words)
        assert done.returncode == 0, done.stdout + done.stderr

    def start(self, verb: str, host: str) -> subprocess.Popen[bytes]:
        """`apply` going on beside the test."""
        command = [sys.executable, "-m", "tests.lab.drive", verb, self.target, host]
        return subprocess.Popen(command, cwd=ROOT, env=self._variables, stdout=subprocess.DEVNULL)

    def disk(self, host: str) -> Path:
        """The host's root file system, seen from outside: what it says when nobody can log in."""
        return LabPaths(self.lab).host(f"ground.staging.{host}") / "root"

    def as_user(self, host: str, user: str) -> None:
        """A login as somebody else, with the lab's key.

        Raises:
            HostError: the host refuses it.
        """
        environment = self.environment
        argv = ssh.command_line(environment, environment.hosts[host])
        argv[argv.index("-l") + 1] = user
        done = subprocess.run([*argv, "true"], capture_output=True, text=True, check=False)
        if done.returncode:
            raise HostError(host, done.stderr.strip())

    @contextmanager
    def template(self, name: str, old: str, new: str) -> Iterator[None]:
        """The operator's own copy of a template, with a mistake in it."""
        own = self.project / "templates" / name
        text = (ROOT / "templates" / name).read_text()
        assert old in text, f"{name} no longer holds {old!r}"
        own.parent.mkdir(parents=True, exist_ok=True)
        own.write_text(text.replace(old, new, 1))
        try:
            yield
        finally:
            own.unlink()


def new(folder: Path, lab: str) -> Ground:
    """A project folder of its own, so that a test may change it."""
    shutil.copytree(FIXTURE, folder)
    # Tests add a second operator; which of them works must then be said.
    os.environ["MAINSTAY_OPERATOR"] = "alex"
    return Ground(folder, lab, folder / "no-identity", "ground/staging")
