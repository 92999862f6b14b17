"""The system of `fixtures/watched`: one host that does everything, one that looks at it, and who is told."""

from __future__ import annotations

import hashlib
import json
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from mainstay.inventory import load
from mainstay.inventory.stores import secrets_file
from mainstay.secrets import SecretStore
from mainstay.secrets.identity import create_identity
from mainstay.secrets.needed import needed_secrets
from tests.lab import receiver
from tests.lab.bench import Bench
from workload import packing

FIXTURE = Path(__file__).parent / "fixtures" / "watched"
SYSTEM, ALL, MON, REPLICA = "watched", "watched-all", "watched-mon", "watched-replica"
PAGER, OFFICE = "http://127.0.0.1:8099/pager-2c1f", "http://127.0.0.1:8099/office-93ab"


def project(folder: Path, identity: Path) -> Path:
    """A project with the system, its service built and pinned, and secrets; MAINSTAY_AGE_IDENTITY names `identity`."""
    shutil.copytree(FIXTURE / "inventories", folder / "inventories")
    release(folder)
    create_identity(identity)
    for env in ("staging", "production"):
        store = SecretStore.open(secrets_file(folder, SYSTEM, env))
        store.generate(needed_secrets(load(SYSTEM, env, root=folder, check_secrets=False)))
        store.update({"ALERT_PAGER_URL": PAGER, "ALERT_OFFICE_URL": OFFICE})
    return folder


def release(folder: Path) -> None:
    """The service as an artefact, pinned."""
    about = {"name": "api", "version": "1.0.0", "kind": "go"}
    program = (FIXTURE / "service" / "main.py").read_bytes()
    data = packing.tar({"release.json": packing.json_of(about), "app/main.py": program})
    (folder / "artefacts").mkdir(exist_ok=True)
    (folder / "artefacts" / "watched-api-1.0.0.tar").write_bytes(data)
    pin = f"{{file: watched-api-1.0.0.tar, sha256: {hashlib.sha256(data).hexdigest()}}}"
    text = f"releases:\n  api:\n    version: 1.0.0\n    artefacts:\n      1.0.0: {pin}\n"
    (folder / "inventories" / SYSTEM / "releases.yaml").write_text(text)


_REPLICA = f"  {REPLICA}: {{address: 192.0.2.13, roles: [db_replica], memory: 1G, cores: 1, disk: 10G}}\n"

# What takes minutes in a real system takes seconds here, so that a fault, its alert and its end fit into a test.
QUICK = """alerts:
  P0:
    - {name: service_down, rule: health fails 2 times in 2m}
    - {name: redis_lost, for: 5s}
    - {name: database_lost, for: 5s}
  P1:
    - {name: disk, above_pct: 95, for: 5s}
  P2:
    - {name: error_rate, above_pct: 1, for: 5s}
"""


class Watched(Bench):
    """The bench, and what the receivers were told."""

    def quick(self) -> None:
        """Alerts that do not wait, and a replica that can be lost; warnings are told at any hour of the day."""
        self.edit("staging.yaml", "hosts:\n", f"hosts:\n{_REPLICA}")
        self.edit("system.yaml", "warning: {receiver: office, hours: work}", "warning: {receiver: office}")
        self.edit("system.yaml", "db_pool_pct: {warn: 70, crit: 90}", "db_pool_pct: {warn: 70, crit: 90, for: 5s}")
        path = self.project / "inventories" / SYSTEM / "system.yaml"
        before, rest = path.read_text().split("alerts:\n", 1)
        path.write_text(before + QUICK + rest[rest.index("\nseverity:") :])

    def listen(self) -> None:
        """Starts the receivers on the monitoring host: every post is a line of /root/told."""
        self.inside(MON, receiver.START)

    def told(self) -> list[tuple[str, dict[str, Any]]]:
        """The path of each post, and what was in it."""
        lines = self.sh(MON, "cat /root/told 2>/dev/null; true").splitlines()
        return [(each["path"], each["body"]) for each in map(json.loads, lines)]

    def forget(self) -> None:
        """What was told so far says nothing of the fault that follows."""
        self.sh(MON, ": > /root/told")

    def wait_for(self, what: Callable[[list[tuple[str, dict[str, Any]]]], Any], seconds: float) -> Any:
        """Looks every 3 s until `what` finds something in what was told."""
        deadline = time.monotonic() + seconds
        while not (found := what(told := self.told())):
            assert time.monotonic() < deadline, f"not told within {seconds:g} s, only: {told}"
            time.sleep(3)
        return found


def new(folder: Path, lab: str) -> Watched:
    """A project and a lab of its own, not yet up; MAINSTAY_AGE_IDENTITY names `folder`/identity.txt."""
    identity = folder / "identity.txt"
    watched = Watched(project(folder / "project", identity), lab, identity, f"{SYSTEM}/staging")
    watched.quick()
    return watched
