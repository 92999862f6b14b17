"""The system of `fixtures/kinds` in a lab of its own: a service in Go, one in Node and one in Python on one host."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from tests.lab.bench import ROOT
from tests.lab.ground import Ground
from workload import build
from workload.described import Described

FIXTURE = Path(__file__).parent / "fixtures" / "kinds"
SYSTEM, APP, DB, CACHE = "kinds", "kinds-app", "kinds-db", "kinds-cache"
SERVICES = {
    "orders": Described(SYSTEM, "orders", "go", "app", "bin/orders"),
    "basket": Described(SYSTEM, "basket", "node", "app", "/usr/bin/node", "dist/server.js"),
    "api": Described(SYSTEM, "api", "python", "app", "venv/bin/uvicorn", "service.app:application"),
}
PORTS = {"orders": 8081, "basket": 8082, "api": 8083}


class Kinds(Ground):
    """The bench, and releases of each kind."""

    def pin(self, service: str, version: str, fault: str = "none") -> None:
        """Builds the version, with that fault, and pins it."""
        wheels = ROOT / "artefacts" / "wheels"
        built = build.make(SERVICES[service], version, fault=fault, out=self.project / "artefacts", wheels=wheels)
        build.pin([built], self.project / "inventories" / SYSTEM / "releases.yaml")

    def serving(self, service: str) -> tuple[str, str]:
        """The slot that nginx sends requests to, and the version that answers there."""
        slot = self.sh(APP, f"sed -n 's/^# slot //p' /etc/nginx/services/{SYSTEM}-{service}.conf").strip()
        said = self.sh(APP, f"curl -sS http://127.0.0.1:{PORTS[service]}/version")
        return slot, json.loads(said)["version"]

    def environs(self, service: str) -> list[dict[str, str]]:
        """The environment of each instance's main process, as the kernel tells it."""
        units = f"systemctl list-units --plain --no-legend '{SYSTEM}-{service}@*' | cut -d' ' -f1"
        each = f"for u in $({units}); do tr '\\0' '\\n' < /proc/$(systemctl show -P MainPID $u)/environ; echo END; done"
        found: list[dict[str, str]] = [{}]
        for line in self.sh(APP, each).splitlines():
            if line == "END":
                found.append({})
            elif "=" in line:
                found[-1].update([line.split("=", 1)])
        return found[:-1]


def new(folder: Path, lab: str) -> Kinds:
    """A project folder of its own, with releases and secrets of its own; its hosts are booted by the test."""
    shutil.copytree(FIXTURE, folder)
    kinds = Kinds(folder, lab, folder / "identity.txt", f"{SYSTEM}/staging")
    for service in SERVICES:
        kinds.pin(service, "1.0.0")
    for env in ("staging", "production"):
        done = kinds.mainstay("secrets", "generate", f"{SYSTEM}/{env}", "--stand-ins")
        assert done.returncode == 0, done.stdout + done.stderr
    return kinds
