"""A staging of its own for tests of releases: artefacts are built as a test wants them, hosts are broken by hand."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.lab.bench import ROOT, Bench
from tests.lab.laptop import SYSTEM, Laptop
from workload import build as workload

WEB, APP, DB, CACHE = "eai-stg-web-1", "eai-stg-app-1", "eai-stg-db-1", "eai-stg-cache-1"
MON = "eai-stg-mon-1"
NAME, API = "staging.everydayai.test", "api.staging.everydayai.test"


class Stage(Bench):
    """The bench, with releases that are built on demand."""

    def pin(self, service: str, version: str, fault: str = "none") -> None:
        """Builds the version, with that fault, and pins it."""
        pin(self.project, service, version, fault)

    def converge(self, *hosts: str) -> None:
        """One apply a host, and nothing left to do."""
        for host in hosts:
            self.converged(host)

    @contextmanager
    def broken(self, host: str, command: str, repair: str = "true") -> Iterator[None]:
        """The host after the command; then the repair that no apply can know of, and one apply."""
        self.sh(host, command)
        try:
            yield
        finally:
            self.sh(host, repair)
            self.converged(host)

    def curl(self, url: str, options: str = "") -> str:
        """What the web host itself answers to a URL of one of its sites, status and headers first."""
        resolve = " ".join(f"--resolve {name}:{port}:127.0.0.1" for name in (NAME, API) for port in (80, 443))
        return self.sh(WEB, f"curl -sSki --http1.1 --max-time 10 {resolve} {options} {shlex.quote(url)}")

    def status(self, url: str, options: str = "") -> int:
        """The status alone."""
        return int(self.curl(url, options).split()[1])


def of(laptop: Laptop) -> Stage:
    """The stage of a laptop whose lab has staging's hosts; the shipped versions are pinned."""
    stage = Stage(laptop.project, laptop.lab, laptop.identity)
    for service in ("backend", "frontend"):
        stage.pin(service, "1.0.0")
    return stage


def pin(project: Path, service: str, version: str, fault: str = "none") -> None:
    """Builds an artefact into the project, and pins it there."""
    wheels = ROOT / "artefacts" / "wheels"
    built = workload.build(service, version, fault=fault, out=project / "artefacts", wheels=wheels)
    workload.pin([built], project / "inventories" / SYSTEM / "releases.yaml")
