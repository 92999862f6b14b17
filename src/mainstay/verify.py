"""Proves that hosts are what the inventory says: runs the testinfra suites of `tests/verify` and reads the results."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from mainstay import project
from mainstay.components import chosen as components_of
from mainstay.errors import HostError, MainstayError, UsageError
from mainstay.inventory import Environment
from mainstay.inventory.loading import PINS
from mainstay.verify_server import Request, Server

# Most checks wait for a host, and what they ask is known ahead: more processes than processors only cost their start.
PROCESSES = max(2, min(4, os.cpu_count() or 1))
# pytest's exit code where none of the chosen checks applies to the hosts of one share.
NO_TESTS = 5
# The environment, its hosts, and the stems of components where not all.
_Arguments = tuple[Environment, list[str], list[str] | None]


@dataclass(frozen=True)
class Check:
    """One check on one host; `reason` says what was found where it failed, or what is worth reading where it passed."""

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


def _parts(names: list[str], most: int) -> list[list[str]]:
    """The names in up to `most` parts of about one size, at least one."""
    count = max(1, min(most, len(names)))
    return [names[start::count] for start in range(count)]


class _Prepared:
    """Runs that have collected their checks and wait for `run`; one at a time, as the server has them."""

    def __init__(self, server: Server, environment: Environment, names: list[str], paths: list[Path]) -> None:
        self.names = names
        self._server = server
        self._folder = tempfile.TemporaryDirectory(prefix="mainstay-report-")
        parts = enumerate(_parts(names, PROCESSES))
        self._runs = [_Run(environment, hosts, paths, Path(self._folder.name) / str(number)) for number, hosts in parts]
        shown = [(run.arguments, str(run.output)) for run in self._runs]
        with self._errors():
            server.prepare(Request(environment.name, shown, _variables(environment), str(Path.cwd())))

    def run(self) -> VerifyOutcome:
        """Has the checks run; their results.

        Raises:
            HostError: as `verify` says.
        """
        with self._folder:
            with self._errors():
                codes = self._server.go()
            found = [check for run, code in zip(self._runs, codes, strict=True) for check in run.checks(code)]
        names = self.names
        return VerifyOutcome(sorted(found, key=lambda check: names.index(check.host) if check.host in names else -1))

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise HostError(", ".join(self.names), f"verification could not run: {error}") from error


class _Run:
    """One pytest: its share of the hosts and suites, and where its output and its report go."""

    def __init__(self, environment: Environment, names: list[str], paths: list[Path], stem: Path) -> None:
        self.names = names
        self.output, self.report = stem.with_suffix(".txt"), stem.with_suffix(".jsonl")
        self.arguments = ["-q", "-p", "no:cacheprovider", "--import-mode=importlib"]
        self.arguments += ["-p", "testinfra.plugin", "-p", "mainstay.testing"]
        # What pytest does about warnings of unraisable errors collects garbage for a tenth of a second, a run.
        self.arguments += ["-p", "no:unraisableexception", "-o", "addopts=", "-c", os.devnull]
        # A conftest.py beside the checks counts, one above them is for something else.
        self.arguments += ["--rootdir", str(project.root()), "--confcutdir", str(paths[0].parent)]
        self.arguments += ["--inventory", environment.name, "--hosts", ",".join(names)]
        self.arguments += ["--mainstay-report", str(self.report), *map(str, paths)]

    def checks(self, code: int) -> list[Check]:
        """What it reported, where it ended with pytest's exit code `code`.

        Raises:
            HostError: pytest itself could not run; the message holds its last line.
        """
        checks = [Check(**json.loads(line)) for line in _lines(self.report)]
        nothing_applies = code == NO_TESTS
        if (code not in (0, 1) or not checks) and not nothing_applies:
            said = (_lines(self.output) or ["no output"])[-1]
            raise HostError(", ".join(self.names), f"verification could not run: {said}")
        return checks


def _lines(path: Path) -> list[str]:
    """Of a file that a run may not have come to write."""
    return path.read_text(errors="replace").strip().splitlines() if path.exists() else []


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


class Verifier:
    """Verifications of one command, one after the other, from one server."""

    def __init__(self) -> None:
        self._server = Server()
        self._expected: tuple[_Arguments, _Prepared | None] | None = None

    def verify(self, environment: Environment, names: list[str], components: list[str] | None = None) -> VerifyOutcome:
        """Runs the checks that apply to the roles of `names` and returns every result, in the order of `names`.

        Processes of their own run pytest (`mainstay.verify_server`): it and pyinfra's patched standard library do not
        share one well. There are up to four, each with its share of the hosts: most checks wait for one.

        Raises:
            HostError: pytest itself could not run; the message holds its last line.
            UsageError: a stem has no verification.
        """
        arguments, expected, self._expected = (environment, names, components), self._expected, None
        prepared = expected[1] if expected and expected[0] == arguments else self._prepare(*arguments)
        return prepared.run() if prepared else VerifyOutcome()

    def expect(self, environment: Environment, names: list[str], components: list[str] | None = None) -> None:
        """Gets a verification ready beside other work, so that `verify` of the same begins with its first check.

        Any other `verify` drops it. What goes wrong here goes wrong there again, and is said there.
        """
        self._expected = None
        with suppress(MainstayError):
            self._expected = (environment, names, components), self._prepare(environment, names, components)

    def warm(self) -> None:
        """Has the server get ready, while there is other work to wait for."""
        self._server.start()

    def _prepare(self, environment: Environment, names: list[str], components: list[str] | None) -> _Prepared | None:
        """The runs of the suites that apply; None where none does."""
        paths = _of(environment, names, suites(components))
        return _Prepared(self._server, environment, names, paths) if paths else None


_VERIFIER = Verifier()
verify, expect, warm = _VERIFIER.verify, _VERIFIER.expect, _VERIFIER.warm
