"""The hosts of the bench and its project: an inventory in which every host has every component, and a lab for it."""

from __future__ import annotations

import copy
import hashlib
import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from bench.errors import BenchError
from workload import packing

ROOT = Path(__file__).resolve().parents[1]
HOME = ROOT / "artefacts" / "bench"
PATTERN = Path(__file__).parent / "system" / "pattern.yaml"
APP = Path(__file__).parent / "system" / "app.py"
SYSTEM, TARGET, VERSION = "bench", "bench/staging", "1.0.1"
LAB = "bench"
ROLES = ["web", "app", "db", "cache"]
HOSTS = 20
JOURNAL = "500M"
# What one of them holds, as an inventory declares it; the lab's hosts share the machine's own.
_SIZE = {"memory": "4G", "cores": 2, "disk": "40G"}


@dataclass(frozen=True)
class Ground:
    """A project folder of the bench, and the lab whose hosts it names.

    Attributes:
        project: holds `inventories/bench`, the secrets of it and the artefacts.
        names: its hosts, in order.
    """

    project: Path
    lab: str
    names: tuple[str, ...]

    @property
    def state(self) -> Path:
        """Where Mainstay remembers, apart from the operator's own memory."""
        return self.project / "state"

    @property
    def questions(self) -> Path:
        """What the floor asks, a script a host."""
        return self.project / "questions"

    @property
    def variables(self) -> dict[str, str]:
        """The surroundings of every command."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("MAINSTAY_", "ANSIBLE_"))}
        own = {
            "MAINSTAY_PROJECT": self.project,
            "MAINSTAY_LAB": self.lab,
            "MAINSTAY_AGE_IDENTITY": HOME / "identity.txt",
            "MAINSTAY_OPERATOR": "alex",
            "XDG_STATE_HOME": self.state,
            "PYTHONPATH": ROOT,
        }
        return {**kept, **{name: str(value) for name, value in own.items()}}

    def mainstay(self, *words: str, timeout: float = 900) -> str:
        """Standard output of a command of Mainstay.

        Raises:
            BenchError: it did not end well; the message has its last line.
        """
        done = subprocess.run(
            [sys.executable, "-m", "mainstay", *words],
            env=self.variables, cwd=self.project, capture_output=True, text=True, timeout=timeout, check=False,
        )  # fmt: skip
        if done.returncode != 0:
            lines = (done.stderr + done.stdout).strip().splitlines() or ["it said nothing"]
            faults = ("failed", "FAILED", "mainstay: ")
            told = [line.strip() for line in lines if line.strip().startswith(faults)] or lines[-1:]
            raise BenchError(f"mainstay {' '.join(words[:2])} ended with {done.returncode}: {told[0]}")
        return done.stdout

    @property
    def _staging(self) -> Path:
        return self.project / "inventories" / SYSTEM / "staging.yaml"

    @property
    def journal(self) -> str:
        """How much of the journal hosts keep, by the inventory."""
        return str(yaml.safe_load(self._staging.read_text())["base"]["journald"]["max_use"])

    def edit_journal(self, value: str) -> None:
        """The one-line change: another limit of what the journal keeps."""
        content = yaml.safe_load(self._staging.read_text())
        content["base"]["journald"]["max_use"] = value
        self._staging.write_text(_yaml(content))


def names(count: int) -> tuple[str, ...]:
    """`bench-001` and so on."""
    return tuple(f"bench-{number:03}" for number in range(1, count + 1))


def system_yaml(pattern: dict[str, Any]) -> dict[str, Any]:
    """The common part of the inventory, with as many services and databases as the pattern says."""
    common: dict[str, Any] = copy.deepcopy(pattern["common"])
    common["services"] = {
        name: {
            **copy.deepcopy(pattern["service"]),
            "port": 8001 + at,
            "slots": {"blue": 18001 + at, "green": 28001 + at},
        }
        for at, name in enumerate(pattern["services"])
    }
    databases = [f"tenant_{number:02}" for number in range(1, pattern["databases"] + 1)]
    postgres = common["postgres"]
    owner = next(name for name, role in postgres["roles"].items() if role["kind"] == "owner")
    postgres["databases"] = {name: {"owner": owner} for name in databases}
    for role in postgres["roles"].values():
        role["databases"] = list(databases)
    return common


def environment_yaml(hosts: tuple[str, ...], domain: str, network: str) -> dict[str, Any]:
    """One environment; addresses are of the documentation's ranges, as the lab has its own."""
    found = {}
    for at, name in enumerate(hosts):
        found[name] = {"address": f"{network}.{at // 200}.{at % 200 + 1}", "roles": list(ROLES), **_SIZE}
    return {"domain": domain, "hosts": found, "base": {"journald": {"max_use": JOURNAL}}}


def prepare(folder: str = "project", count: int = HOSTS, lab: str = LAB) -> Ground:
    """The project in `artefacts/bench/<folder>`, written anew but for its secrets and what Mainstay remembers."""
    project = HOME / folder
    target = project / "inventories" / SYSTEM
    target.mkdir(parents=True, exist_ok=True)
    pattern = yaml.safe_load(PATTERN.read_text())
    hosts = names(count)
    pins = {name: _artefact(project / "artefacts", name) for name in pattern["services"]}
    _write(target / "system.yaml", _yaml(system_yaml(pattern)))
    _write(target / "staging.yaml", _yaml(environment_yaml(hosts, "staging.bench.test", "10.99")))
    _write(target / "production.yaml", _yaml(environment_yaml(("bench-prod",), "bench.test", "10.98")))
    _write(target / "releases.yaml", _yaml({"releases": pins}))
    for env in ("staging", "production"):
        text = "from mainstay.inventory.groups import groups\n\nglobals().update(groups(__file__))\n"
        _write(target / f"{env}.py", text)
    for part in ("deploys", "facts", "templates"):
        link = project / part
        if not link.is_symlink():
            link.symlink_to(ROOT / part)
    found = Ground(project, lab, hosts)
    for env in ("staging", "production"):
        if not (target / f"secrets.{env}.yaml").exists():
            found.mainstay("secrets", "generate", f"{SYSTEM}/{env}", "--stand-ins")
    return found


def _artefact(folder: Path, service: str) -> dict[str, Any]:
    """A release of one service, and how `releases.yaml` pins it: the same bytes each time."""
    folder.mkdir(parents=True, exist_ok=True)
    about = {"name": service, "version": VERSION, "kind": "go"}
    files = {"app/app.py": APP.read_bytes(), "release.json": (json.dumps(about) + "\n").encode(), "ci.json": b"{}\n"}
    data = packing.tar(files)
    path = folder / f"bench-{service}-{VERSION}.tar"
    path.write_bytes(data)
    pinned = {"file": path.name, "sha256": hashlib.sha256(data).hexdigest()}
    return {"version": VERSION, "artefacts": {VERSION: pinned}}


def _yaml(content: dict[str, Any]) -> str:
    return yaml.dump(content, Dumper=_NoAliases, sort_keys=False)


class _NoAliases(yaml.SafeDumper):
    def ignore_aliases(self, data: Any) -> bool:
        return True


def _write(path: Path, text: str) -> None:
    if not path.exists() or path.read_text() != text:
        path.write_text(text)
