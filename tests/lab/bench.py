"""One system in the lab, driven as an operator would: planned, applied, verified, broken by hand."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from mainstay import inventory, ssh
from mainstay.inventory import Environment
from mainstay.lab.lab import Lab

ROOT = Path(__file__).parents[2]


@dataclass
class Bench:
    """A project (a folder with inventories and secrets of its own) whose hosts stand in a lab."""

    project: Path
    lab: str
    identity: Path
    target: str = "everydayai/staging"

    @property
    def environment(self) -> Environment:
        """The environment as the files say now."""
        system, _, env = self.target.partition("/")
        return inventory.load(system, env, root=self.project, lab=self.lab)

    @cached_property
    def _variables(self) -> dict[str, str]:
        own = {"MAINSTAY_PROJECT": self.project, "MAINSTAY_LAB": self.lab, "MAINSTAY_AGE_IDENTITY": self.identity}
        return {**os.environ, **{name: str(value) for name, value in own.items()}}

    def mainstay(self, *words: str) -> subprocess.CompletedProcess[str]:
        """The real command."""
        command = [sys.executable, "-m", "mainstay", *words]
        return subprocess.run(
            command,
            env=self._variables,
            capture_output=True,
            text=True,
            stdin=subprocess.DEVNULL,
            check=False,
            timeout=600,
        )

    def plan(self, host: str) -> dict[str, Any]:
        """What would change on the host."""
        return self._drive("plan", host)

    def apply(self, host: str) -> dict[str, Any]:
        """Brings the host to what the inventory says; `ok`, `reason` and `changes` say what came of it."""
        return self._drive("apply", host)

    def fetch(self, host: str) -> None:
        """Asserts that the packages of an apply are downloaded."""
        outcome = self._drive("fetch", host)
        assert outcome["ok"], outcome["reason"]

    def converged(self, host: str) -> None:
        """Asserts that one apply succeeds and leaves nothing to do."""
        outcome = self.apply(host)
        assert outcome["ok"], outcome["reason"]
        left = self.plan(host)
        assert left["ok"] and not left["changes"], left

    def sh(self, host: str, command: str, timeout: float = 60) -> str:
        """What a command as root prints."""
        environment = self.environment
        return ssh.run_fresh(environment, environment.hosts[host], command, timeout)

    def inside(self, host: str, script: str) -> str:
        """What a script prints as root, past the host's sshd, firewall and operators."""
        done = Lab(self.lab).inside(host, "bash", "-c", script)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def failing(self, component: str, *hosts: str) -> set[str]:
        """The checks of the component that fail on these hosts, `test_` left out."""
        return set(self.failures(component, *hosts))

    def failures(self, component: str, *hosts: str) -> dict[str, str]:
        """Those checks, each with what it says."""
        with tempfile.NamedTemporaryFile(suffix=".jsonl") as report:
            suite = ROOT / "tests" / "verify" / f"test_{component}.py"
            command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-o", "addopts=", str(suite)]
            command += ["--import-mode=importlib", "--inventory", self.target, "--hosts", ",".join(hosts)]
            command += ["--mainstay-report", report.name]
            done = subprocess.run(command, cwd=ROOT, env=self._variables, capture_output=True, text=True, check=False)
            rows = [json.loads(line) for line in Path(report.name).read_text().splitlines()]
        assert rows, done.stdout + done.stderr
        # Which pytest shows where a test did not expect it.
        print(*[f"{row['host']}: {row['check']}: {row['reason']}" for row in rows if not row["ok"]], sep="\n")
        return {row["check"]: row["reason"] for row in rows if not row["ok"]}

    def edit(self, file: str, old: str, new: str) -> None:
        """Changes one piece of one of the system's files."""
        path = self.project / "inventories" / self.target.partition("/")[0] / file
        text = path.read_text()
        assert old in text, f"{file} no longer holds {old!r}"
        path.write_text(text.replace(old, new, 1))

    @contextmanager
    def edited(self, file: str, old: str, new: str) -> Iterator[None]:
        """One of the system's files, changed for a while."""
        self.edit(file, old, new)
        try:
            yield
        finally:
            self.edit(file, new, old)

    def _drive(self, verb: str, host: str) -> dict[str, Any]:
        command = [sys.executable, "-m", "tests.lab.drive", verb, self.target, host]
        done = subprocess.run(command, cwd=ROOT, env=self._variables, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        outcome: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
        return outcome
