"""A shipped system as it stands in the lab after a rollout, and what the tools on its hosts find wrong with it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from deploys.components.monitoring import files as monitoring
from mainstay.inventory import Environment, load
from tests.json_schema import faults
from tests.lab import laptop as laptops
from tests.lab.laptop import Done, Laptop

# A row for each fault of a cluster's settings: not understood, waiting for a restart, set by no file of ours.
FAULTS_OF_SETTINGS = """
SELECT 'not understood: ' || coalesce(name, sourcefile) || ': ' || error FROM pg_file_settings WHERE error IS NOT NULL
UNION ALL SELECT 'waits for a restart: ' || name FROM pg_settings WHERE pending_restart
UNION ALL SELECT 'set by ALTER SYSTEM: ' || name FROM pg_file_settings WHERE sourcefile LIKE '%/postgresql.auto.conf'
"""
FAULTS_OF_MONITORING = (
    "promtool check config /etc/prometheus/prometheus.yml",
    f"promtool check rules {monitoring.RULES}",
    f"amtool check-config {monitoring.ALERTMANAGER}",
)
# What all hosts of a system may take where other tests have the processors too; alone it is minutes.
WHOLE_S = 3000


@dataclass(frozen=True)
class Standing:
    """An environment that a rollout has verified.

    Attributes:
        laptop: whose commands reach it.
        env: the inventory, with the lab's addresses.
        outcome: what the rollout said of this environment.
        rollout: what it said of itself, all environments together.
    """

    laptop: Laptop
    env: Environment
    outcome: Any
    rollout: Any

    @property
    def target(self) -> str:
        """`system/env`."""
        return self.env.name

    @property
    def hosts(self) -> list[str]:
        """The names of all its hosts."""
        return list(self.env.hosts)

    @property
    def figures(self) -> dict[str, int]:
        """What the rollout took: hosts, changes, checks, whole seconds."""
        batches = self.outcome["batches"]
        sums = {
            name: sum(batch[key] for batch in batches) for name, key in (("changes", "changes"), ("checks", "passed"))
        }
        return {"hosts": len(self.hosts), **sums, "seconds": round(self.outcome["seconds"])}

    def hosts_with(self, *roles: str) -> list[str]:
        """The names of those that hold one of the roles."""
        return [host.name for host in self.env.hosts.values() if set(roles) & set(host.roles)]

    def mainstay(self, *words: str) -> Done:
        """A command of the operator."""
        return self.laptop.mainstay(*words, timeout=WHOLE_S)

    def sh(self, host: str, script: str) -> str:
        """What a script says as root on one of its hosts; other environments may have one of that name."""
        return self.laptop.sh(f"{self.target}/{host}", script)

    def sql(self, host: str, query: str, database: str = "postgres") -> str:
        """What the host's own PostgreSQL answers, as its superuser."""
        script = f"runuser -u postgres -- psql -XAtq -v ON_ERROR_STOP=1 -d {database} <<'SQL'\n{query};\nSQL"
        return self.sh(host, f"cd / && {script}").strip()

    def plan(self) -> Any:
        """What would change: the plan as `--json` gives it, asserted to be one that ends well and is empty."""
        done = self.mainstay("plan", self.target, "--exit-code", "--json")
        assert done.code == 0, done.text
        assert (done.json["changes"], done.json["gate"]) == (0, "")
        return done.json

    def verify(self) -> list[dict[str, Any]]:
        """Every check of every host, asserted to pass; each component that the lab can prove has some."""
        done = self.mainstay("verify", self.target, "--json")
        checks: list[dict[str, Any]] = done.json["checks"]
        failed = [
            f"{one['host']}: {one['component']}: {one['check']}: {one['reason']}" for one in checks if not one["ok"]
        ]
        assert (done.code, failed) == (0, []), done.err
        assert {check["host"] for check in checks} == set(self.hosts)
        proven = set(self.env.sections) - set(self.outcome["unproven"])
        assert proven <= {check["component"] for check in checks}
        return checks

    def faults_of_nginx(self) -> dict[str, str]:
        """What `nginx -T` finds wrong, by host; the hosts that have it are those that serve."""
        found = {}
        for host in self.hosts_with("web", "app", "ml"):
            said = self.sh(host, "nginx -T 2>&1 >/dev/null")
            if "test is successful" not in said or any(f"[{level}]" in said for level in ("warn", "error", "emerg")):
                found[host] = said
        return found

    def faults_of_postgres(self) -> dict[str, str]:
        """What `pg_settings` says of settings that are not as the files want them, by host."""
        said = {host: self.sql(host, FAULTS_OF_SETTINGS) for host in self.hosts_with("db", "db_replica")}
        return {host: rows for host, rows in said.items() if rows}

    def faults_of_monitoring(self) -> dict[str, str]:
        """What promtool, amtool and the Prometheus that runs say of rules and files, by host."""
        found = {}
        for host in self.hosts_with("monitoring"):
            said = self.sh(host, "; ".join(f"{check} 2>&1 || echo FAILED" for check in FAULTS_OF_MONITORING))
            groups = json.loads(self.sh(host, "curl -sS http://127.0.0.1:9090/api/v1/rules"))["data"]["groups"]
            rules = [rule for group in groups for rule in group["rules"]]
            wrong = [f"{rule['name']}: {rule.get('lastError', '')}" for rule in rules if rule["health"] == "err"]
            if said.count("SUCCESS") < len(FAULTS_OF_MONITORING) or "FAILED" in said or wrong or not rules:
                found[host] = "\n".join([said, *wrong, f"{len(rules)} rules"])
        return found

    def failed_units(self) -> dict[str, str]:
        """Units that systemd calls failed, by host."""
        said = {host: self.sh(host, "systemctl list-units --failed --no-legend --plain") for host in self.hosts}
        return {host: units for host, units in said.items() if units}


def roll_out(laptop: Laptop, system: str, *options: str) -> dict[str, Standing]:
    """One rollout, asserted to verify all; each environment by its name, in the order of the rollout.

    MAINSTAY_AGE_IDENTITY must name the laptop's identity, because the inventory is read here too.
    """
    done = laptop.mainstay("rollout", system, *options, "--json", timeout=WHOLE_S)
    assert done.code == 0, done.text
    assert faults("rollout", done.json) == []
    stands = {}
    for outcome in done.json["environments"]:
        assert outcome["result"] == "verified", outcome["reason"]
        name = outcome["environment"].partition("/")[2]
        env = load(system, name, root=laptop.project, lab=laptop.lab)
        stands[name] = Standing(laptop, env, outcome, done.json)
    return stands


@contextmanager
def whole(system: str, lab: str, folder: Path) -> Iterator[dict[str, Standing]]:
    """Staging and production of a shipped system by one command, on hosts that are made for it; down afterwards."""
    laptops.build(system)
    laptop = laptops.new(folder, lab, system)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MAINSTAY_AGE_IDENTITY", str(laptop.identity))
        assert laptop.mainstay("lab", "down").code == 0
        try:
            up = laptop.mainstay("lab", "up", system)
            assert up.code == 0, up.text
            yield roll_out(laptop, system)
        finally:  # a rollout that fails leaves no hosts that others' tests would have to bear
            assert laptop.mainstay("lab", "down").code == 0
