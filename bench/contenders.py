"""What runs in each cell: a contender's command in a case, and how its answer is read.

| case        | what it is                                                             |
|-------------|------------------------------------------------------------------------|
| `start`     | Python's start with the contender's imports, which every command pays  |
| `plan`      | what would change, on hosts where nothing would                        |
| `noop`      | an apply on the same hosts                                             |
| `line`      | an apply after one line of the inventory has changed                   |
| `first`     | an apply on hosts as an image leaves them                              |
| `verify`    | the testinfra suites                                                   |
| `targets`   | a plan on more targets than there are hosts                            |
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from bench import rivals
from bench.errors import BenchError
from bench.ground import ROOT, TARGET, Ground
from bench.hosts import places
from bench.meter import SOCKETS
from mainstay.lab.paths import LabPaths

PYTHON = sys.executable
_PLANS_NOTHING = "--exit-code"
# What pytest runs side by side: as many as `mainstay verify` does here.
SUITES = ("base", "nginx", "postgres", "redis", "release", "service")

# Who gets into a host as its image leaves it; Mainstay finds that out by itself.
BOOTSTRAP_USER = "debian"

# `    postgres | Set up databases       -       1 (bench-001)`
_TABLE = re.compile(r"^ {4}(\S.*?) {2,}(-|\d+ \(.*?\)) {2,}(-|\d+ \(.*?\)) *$", re.MULTILINE)

Words = Callable[[Ground, Sequence[str]], list[str]]


@dataclass(frozen=True)
class Contender:
    """One command of one case.

    Attributes:
        words: the command, for hosts of a ground.
        seconds: reads the measured time from what it printed; None where the whole command counts.
        wrong: says what is not right with what it printed and its exit code; empty where all is well.
        forgetful: it runs as on a laptop that never asked these hosts anything.
        variables: its surroundings beside the ground's own.
        verifies: it verifies by itself what it has applied.
        kept: it comes right after the same command, which leaves its connections open; all others find none.
    """

    words: Words
    wrong: Callable[[int, str, str], str]
    seconds: Callable[[dict[str, Any]], float] | None = None
    forgetful: bool = False
    variables: Callable[[], dict[str, str]] = dict
    verifies: bool = False
    kept: bool = False


def _ended(code: int, out: str, err: str) -> str:
    lines = (err.strip() or out.strip() or "it said nothing").splitlines()
    return "" if code == 0 else f"ended with {code}: {lines[-1][:200]}"


def _unchanged(code: int, out: str, err: str) -> str:
    """A plan of the drivers without changes and failures."""
    if code != 0:
        return _ended(code, out, err)
    last = json.loads(out.splitlines()[-1])["outcomes"][-1]
    return "" if not last["changes"] and not last["failed"] else f"found {last}, expected neither changes nor failures"


def _no_failures(code: int, out: str, err: str) -> str:
    """A pass of the drivers without failures."""
    if code != 0:
        return _ended(code, out, err)
    last = json.loads(out.splitlines()[-1])["outcomes"][-1]
    return "" if not last["failed"] else f"found {last}, expected no failures"


def _pyinfra_unchanged(code: int, out: str, err: str) -> str:
    """pyinfra's table of a plan: an operation a line, with the hosts that it would change, and those it might."""
    if code != 0:
        return _ended(code, out, err)
    rows = _TABLE.findall(out + err)
    changed = [name for name, change, conditional in rows if (change, conditional) != ("-", "-")]
    if not rows:
        return "found no table of operations, expected pyinfra's own"
    return f"found changes by {changed[0].strip()}, expected none" if changed else ""


def _mainstay(*words: str) -> Words:
    return lambda ground, names: [PYTHON, "-m", "mainstay", *words, TARGET, "--limit", ",".join(names)]


def _pyinfra(*options: str) -> Words:
    def words(ground: Ground, names: Sequence[str]) -> list[str]:
        limits = [word for name in names for word in ("--limit", name)]
        return [PYTHON, "-m", "pyinfra", *options, *limits, "inventories/bench/staging.py", "deploys/site.py"]

    return words


def _passes(verb: str, count: int) -> Words:
    return lambda ground, names: [PYTHON, "-m", "bench.drivers.passes", verb, str(count), ",".join(names)]


def _floor(rounds: int) -> Words:
    def words(ground: Ground, names: Sequence[str]) -> list[str]:
        key, folder = str(LabPaths(ground.lab).key), str(ground.questions)
        return [PYTHON, "-m", "bench.drivers.floor", str(rounds), key, folder, places(ground, names)]

    return words


def _testinfra(*, kept_open: bool) -> Words:
    """Plain testinfra: a program and a session for each command, or one connection a host that stays (ControlPath)."""

    def words(ground: Ground, names: Sequence[str]) -> list[str]:
        query = f"?controlpath={SOCKETS}/{{}}" if kept_open else ""
        hosts = ",".join(f"ssh://{name}{query.format(name)}" for name in names)
        suites = [str(ROOT / "tests" / "verify" / f"test_{stem}.py") for stem in SUITES]
        pytest = ["-q", "-p", "no:cacheprovider", "-o", "addopts=", "--import-mode=importlib", "-n", "2"]
        return [PYTHON, "-m", "pytest", *pytest, "--inventory", TARGET, "--hosts", hosts, *suites]

    return words


def _ansible(wrong: Callable[[int, str, str], str], *options: str) -> dict[str, Contender]:
    """ansible-playbook with pipelining and a fork a host, and the same with mitogen."""

    def words(ground: Ground, names: Sequence[str]) -> list[str]:
        return rivals.command(ground, names, *options)

    return {
        "ansible": Contender(words, wrong, variables=lambda: rivals.variables(mitogen=False)),
        "mitogen": Contender(words, wrong, variables=lambda: rivals.variables(mitogen=True)),
    }


def _start(imports: str) -> Words:
    return lambda ground, names: [PYTHON, "-c", f"import {imports}"]


def _second(said: dict[str, Any]) -> float:
    return float(said["passes"][-1])


def _open_round(said: dict[str, Any]) -> float:
    return float(said["open"])


CONTENDERS: dict[str, dict[str, Contender]] = {
    "start": {
        "python": Contender(_start("sys"), _ended),
        "mainstay": Contender(_start("mainstay.cli.plan"), _ended),
        "pyinfra": Contender(_start("pyinfra_cli.cli"), _ended),
        "floor": Contender(_start("paramiko"), _ended),
    },
    "plan": {
        "mainstay": Contender(_mainstay("plan", _PLANS_NOTHING), _ended),
        "mainstay-first": Contender(_mainstay("plan", _PLANS_NOTHING), _ended, forgetful=True),
        "mainstay-kept": Contender(_mainstay("plan", _PLANS_NOTHING), _ended, kept=True),
        "mainstay-open": Contender(_passes("plan", 2), _unchanged, _second),
        "pyinfra": Contender(_pyinfra("--dry"), _pyinfra_unchanged),
        "pyinfra-open": Contender(
            lambda ground, names: [
                PYTHON, "-m", "bench.drivers.pyinfra_open", "inventories/bench/staging.py", "deploys/site.py",
                ",".join(names),
            ],
            _unchanged,
            _second,
        ),
        "floor": Contender(_floor(1), _ended),
        "floor-open": Contender(_floor(2), _ended, _open_round),
        **_ansible(rivals.unchanged, "--check"),
    },
    "targets": {
        "mainstay": Contender(_mainstay("plan"), _ended),
        "pyinfra": Contender(_pyinfra("--dry"), _ended),
        "floor": Contender(_floor(1), _ended),
    },
    "verify": {
        "mainstay": Contender(_mainstay("verify"), _ended),
        "mainstay-kept": Contender(_mainstay("verify"), _ended, kept=True),
        "mainstay-first": Contender(_mainstay("verify"), _ended, forgetful=True),
        "testinfra": Contender(_testinfra(kept_open=False), _ended),
        "testinfra-open": Contender(_testinfra(kept_open=True), _ended),
    },
    "noop": {
        "mainstay": Contender(_mainstay("apply"), _ended),
        "mainstay-pass": Contender(_passes("apply", 1), _no_failures),
        "pyinfra": Contender(_pyinfra("-y"), _ended),
        **_ansible(rivals.unchanged),
    },
    "first": {
        "mainstay": Contender(_mainstay("apply"), _ended, verifies=True),
        "mainstay-pass": Contender(_passes("apply", 1), _no_failures),
        "pyinfra": Contender(_pyinfra("-y", "--ssh-user", BOOTSTRAP_USER), _ended),
        **_ansible(rivals.converged, "--extra-vars", f"ansible_user={BOOTSTRAP_USER}"),
    },
    "line": {
        "mainstay": Contender(_mainstay("apply"), _ended),
        "mainstay-pass": Contender(_passes("apply", 1), _no_failures),
        "pyinfra": Contender(_pyinfra("-y"), _ended),
        **_ansible(rivals.converged),
    },
}  # fmt: skip


def contender(case: str, name: str) -> Contender:
    """The contender of a case.

    Raises:
        BenchError: there is none of that name.
    """
    try:
        return CONTENDERS[case][name]
    except KeyError:
        raise BenchError(f"found {case}/{name}, expected a case and a contender of the bench") from None
