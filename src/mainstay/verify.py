"""Proves that hosts are what the inventory says: runs the testinfra suites of `tests/verify` and reads the results."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from mainstay import project
from mainstay.components import chosen as components_of
from mainstay.errors import HostError, UsageError
from mainstay.inventory import Environment
from mainstay.inventory.loading import PINS

T = TypeVar("T")
PROCESSES = 4
# pytest's exit code where none of the chosen checks applies to the hosts of one share.
NO_TESTS = 5


@dataclass(frozen=True)
class Check:
    """One check on one host; `reason` says what was found where it failed."""

    host: str
    component: str
    check: str
    ok: bool
    reason: str
    seconds: float


@dataclass
class VerifyOutcome:
    """Every check that ran."""

    checks: list[Check] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        """Something was checked, and nothing failed."""
        return bool(self.checks) and not self.failures

    @property
    def failures(self) -> list[Check]:
        """The checks that failed."""
        return [check for check in self.checks if not check.ok]


def suites(components: list[str] | None = None) -> list[Path]:
    """The verification files, the operator's own before the bundled one of the same name.

    Args:
        components: stems (`nginx`) to choose; all where None.

    Raises:
        UsageError: a stem has no verification.
    """
    found: dict[str, Path] = {}
    for folder in project.verify_dirs():
        for path in sorted(folder.glob("test_*.py")):
            found.setdefault(path.stem.removeprefix("test_"), path)
    for stem in components or []:
        if stem not in found:
            raise UsageError(f"component: found {stem}, expected one of {', '.join(sorted(found))}")
    return [path for stem, path in sorted(found.items()) if components is None or stem in components]


def verify(environment: Environment, names: list[str], components: list[str] | None = None) -> VerifyOutcome:
    """Runs the checks that apply to the roles of `names` and returns every result, in the order of `names`.

    Processes of their own run pytest: it and pyinfra's patched standard library do not share one well. There are up to
    four, each with its share of the hosts, and of the suites where hosts are few: most checks wait for a host.

    Raises:
        HostError: pytest itself could not run; the message holds its last line.
    """
    paths = _of(environment, names, suites(components))
    if not paths:
        return VerifyOutcome()
    shares = [(hosts, part) for hosts in _parts(names, PROCESSES) for part in _parts(paths, PROCESSES // len(names))]
    with ThreadPoolExecutor(max_workers=PROCESSES) as pool:
        found = [check for share in pool.map(lambda one: _run(environment, *one), shares) for check in share]
    return VerifyOutcome(sorted(found, key=lambda check: names.index(check.host) if check.host in names else -1))


def _parts(things: list[T], most: int) -> list[list[T]]:
    """The things in up to `most` parts of about one size, at least one."""
    count = max(1, min(most, len(things)))
    return [things[start::count] for start in range(count)]


def _run(environment: Environment, names: list[str], paths: list[Path]) -> list[Check]:
    with tempfile.TemporaryDirectory(prefix="mainstay-report-") as folder:
        report = Path(folder) / "report.jsonl"
        command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--import-mode=importlib"]
        command += ["-p", "testinfra.plugin", "-p", "mainstay.testing"]
        command += ["-o", "addopts=", "-c", os.devnull, "--rootdir", str(project.root())]
        command += ["--inventory", environment.name, "--hosts", ",".join(names), "--mainstay-report", str(report)]
        command += [str(path) for path in paths]
        done = subprocess.run(
            command, capture_output=True, text=True, env=_variables(environment), stdin=subprocess.DEVNULL, check=False
        )
        checks = _read(report)
    nothing_applies = done.returncode == NO_TESTS
    if (done.returncode not in (0, 1) or not checks) and not nothing_applies:
        lines = (done.stdout + done.stderr).strip().splitlines()
        raise HostError(", ".join(names), f"verification could not run: {lines[-1] if lines else 'no output'}")
    return checks


def _variables(environment: Environment) -> dict[str, str]:
    variables = dict(os.environ)
    pins = [f"{n}={r.version}={r.artefact.sha256}" for n, r in environment.releases.items()]
    # Whatever else is installed beside Mainstay costs each batch of a rollout its import, and may interfere.
    variables["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"
    variables[PINS] = ",".join(pins)
    if environment.lab:
        variables["MAINSTAY_LAB"] = environment.lab.name
    return variables


def _of(environment: Environment, names: list[str], paths: list[Path]) -> list[Path]:
    """The suites that apply: those of components that none of the hosts has are left out, any other file stays."""
    have = {stem for name in names for stem in components_of(environment, environment.hosts[name])}
    known = {path.name for folder in project.layers("deploys/components") for path in folder.iterdir()}
    return [path for path in paths if (stem := path.stem.removeprefix("test_")) in have or stem not in known]


def _read(report: Path) -> list[Check]:
    if not report.exists():
        return []
    return [Check(**json.loads(line)) for line in report.read_text().splitlines()]
