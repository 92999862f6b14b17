"""The systems of `fixtures/store` and `fixtures/replicas`, each in a lab of its own: databases, and who uses them."""

from __future__ import annotations

import shlex
import shutil
import subprocess
from pathlib import Path

from tests.lab.ground import Ground

FIXTURES = Path(__file__).parent / "fixtures"
DB, APP = "store-db", "store-app"


class Store(Ground):
    """The bench, and what people do with its database."""

    def psql(self, sql: str, database: str = "postgres", host: str = "") -> str:
        """What the superuser of the host's cluster is answered; by default the primary's."""
        command = f"cd / && runuser -u postgres -- psql -XAtq -d {database} -v ON_ERROR_STOP=1 -c {shlex.quote(sql)}"
        return self.sh(host or self.environment.hosts_of("db")[0].name, command).strip()

    def apply_own(self, host: str) -> subprocess.CompletedProcess[str]:
        """`mainstay apply` of one host, whatever comes of it."""
        return self.mainstay("apply", self.target, "--limit", host)

    def well(self, *words: str) -> str:
        """What the real command prints, which must end well."""
        done = self.mainstay(*words)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout


def new(folder: Path, lab: str, system: str = "store") -> Store:
    """A project folder of its own with secrets of its own; its hosts are booted by the test."""
    shutil.copytree(FIXTURES / system, folder)
    store = Store(folder, lab, folder / "identity.txt", f"{system}/staging")
    for env in ("staging", "production"):
        store.well("secrets", "generate", f"{system}/{env}", "--stand-ins")
    return store
