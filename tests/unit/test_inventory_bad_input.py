"""One fault, one sentence: file, line, key, what was found, what was expected."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.inventories import Edit, copied, messages, problems

DEFAULT_SLOTS = "slots: {blue: 18000, green: 28000}"
RELEASES = "releases: {}"
SHA = "0" * 64

# The edit, the environment that shows it, the whole message after `file:line: `.
CASES: dict[str, tuple[Edit, str]] = {
    "unknown key": (
        ("system.yaml", "    port: 8000 ", "    prot: 8000 "),
        "services.backend.prot: found an unknown key, expected port",
    ),
    "unknown section": (
        ("system.yaml", "\ngates:", "\ngatez:"),
        "gatez: found an unknown key, expected gates",
    ),
    "wrong type": (
        ("system.yaml", "workers: 4 ", "workers: four "),
        "services.backend.workers: found 'four', expected a whole number",
    ),
    "number as text": (
        ("system.yaml", "workers: 4 ", 'workers: "4" '),
        "services.backend.workers: found '4', expected a whole number",
    ),
    "truth as number": (
        ("system.yaml", "workers: 4 ", "workers: true "),
        "services.backend.workers: found true, expected a whole number",
    ),
    "list for a mapping": (
        ("system.yaml", "instances: {base: 1, min: 1, max: 2}", "instances: [1, 1, 2]"),
        "services.backend.instances: found a list of 3, expected a mapping of keys to values",
    ),
    "below the least": (
        ("system.yaml", "workers: 4 ", "workers: 0 "),
        "services.backend.workers: found the number 0, expected at least 1",
    ),
    "size without meaning": (
        ("system.yaml", "memory_max: 512M", "memory_max: lots"),
        "services.backend.limits.memory_max: found 'lots', expected a size such as 512mb or 2G",
    ),
    "duration without a unit": (
        ("system.yaml", "max_retention: 30d", "max_retention: 30"),
        "base.journald.max_retention: found the number 30, "
        "expected a duration with its unit, such as 250ms, 90s, 5m, 1h or 7d",
    ),
    "one of a few": (
        ("system.yaml", "policy: noeviction", "policy: lru"),
        "redis.policy: found 'lru', expected 'noeviction', 'allkeys-lru', 'allkeys-lfu', 'allkeys-random', "
        "'volatile-lru', 'volatile-lfu', 'volatile-random' or 'volatile-ttl'",
    ),
    "address": (
        ("production.yaml", "address: 198.51.100.31", "address: 198.51.100.300"),
        "hosts.eai-db-1.address: found '198.51.100.300', expected an IPv4 or IPv6 address",
    ),
    "missing key": (
        ("production.yaml", "address: 198.51.100.31, ", ""),
        "hosts.eai-db-1.address: found nothing, expected a value",
    ),
    "address twice": (
        ("production.yaml", "address: 198.51.100.12", "address: 198.51.100.11"),
        "hosts.eai-web-2.address: found 198.51.100.11, which eai-web-1 has, expected an address of its own",
    ),
    "staging's address": (
        ("production.yaml", "address: 198.51.100.12", "address: 192.0.2.11"),
        "hosts.eai-web-2.address: found 192.0.2.11, which eai-stg-web-1 of staging has, expected an address of its own",
    ),
    "port used twice": (
        ("system.yaml", DEFAULT_SLOTS, "slots: {blue: 8000, green: 28000}"),
        "services.backend.port: found port 8000 for nginx for backend, which backend (blue) has on "
        "eai-app-1, eai-app-2, eai-app-3, expected a port of its own",
    ),
    "slots that overlap": (
        ("system.yaml", DEFAULT_SLOTS, "slots: {blue: 18000, green: 18001}"),
        "services.backend.slots.green: found port 18001 for backend (green), which backend (blue) has on "
        "eai-app-1, eai-app-2, eai-app-3, expected a port of its own",
    ),
    "slot past the last port": (
        ("system.yaml", DEFAULT_SLOTS, "slots: {blue: 18000, green: 65535}"),
        "services.backend.slots.green: found 65536 as the port of instance 2, expected ports up to 65535",
    ),
    "instances out of order": (
        ("system.yaml", "{base: 1, min: 1, max: 2}", "{base: 1, min: 2, max: 2}"),
        "services.backend.instances: found min 2, base 1, max 2, expected min <= base <= max",
    ),
    "role without a host": (
        ("system.yaml", "    role: app ", "    role: ml "),
        "services.backend.role: found role ml, which no host of everydayai/production holds, "
        "expected a host with role ml",
    ),
    "unknown runtime": (
        ("system.yaml", "    kind: python ", "    kind: rust "),
        "services.backend.kind: found 'rust', expected 'python', 'go', 'node' or 'static'",
    ),
    "a database without connections": (
        ("system.yaml", "pool: 2 ", "pool: 0 "),
        "services.backend.pool: found 0, expected the connections that one worker opens: PGHOST is the address of db",
    ),
    "two databases": (
        ("production.yaml", "roles: [cache]", "roles: [cache, db]"),
        "hosts.eai-cache-1.roles: found db, which eai-db-1 has, "
        "expected one primary; the others are replicas, role db_replica",
    ),
    "two caches": (
        ("production.yaml", "roles: [db]", "roles: [db, cache]"),
        "hosts.eai-cache-1.roles: found cache, which eai-db-1 has, expected one host with role cache",
    ),
    "threshold": (
        ("system.yaml", "cpu_pct: {warn: 70, crit: 90", "cpu_pct: {warn: 90, crit: 90"),
        "thresholds.cpu_pct: found warn 90, crit 90, expected warn < crit",
    ),
    "threshold above the whole": (
        ("system.yaml", "cpu_pct: {warn: 70, crit: 90", "cpu_pct: {warn: 700, crit: 900"),
        "thresholds.cpu_pct: found warn 700, crit 900, expected percentages, 0 to 100",
    ),
    "threshold above the whole, and nothing beside": (
        ("system.yaml", "cpu_pct: {warn: 70, crit: 90", "cpu_pct: {crit: 100.5"),
        "thresholds.cpu_pct: found crit 100.5, expected percentages, 0 to 100",
    ),
    "threshold below nothing": (
        ("system.yaml", "cpu_pct: {warn: 70, crit: 90", "cpu_pct: {warn: -70, crit: 90"),
        "thresholds.cpu_pct.warn: found the number -70, expected at least 0",
    ),
    "threshold without a unit": (
        ("system.yaml", "  error_rate_pct: {warn", "  error_rate: {warn"),
        "thresholds.error_rate: found a threshold without a unit, expected a name that ends in "
        "_pct, _ms, _per_min, _per_s, _s, _h, _days, _bytes, _count",
    ),
    "a rollback in no time": (
        ("system.yaml", "rollback_sla_s: {frontend: 300", "rollback_sla_s: {frontend: 0"),
        "rollback_sla_s.frontend: found the number 0, expected at least 1",
    ),
    "hit rate counts down": (
        ("system.yaml", "cpu_pct: {warn: 70, crit: 90", "cache_hit_pct: {warn: 70, crit: 90"),
        "thresholds.cache_hit_pct: found warn 70, crit 90, expected warn > crit",
    ),
    "alert of no severity": (
        ("system.yaml", "  P2:\n    - {name: p95", "  P3:\n    - {name: p95"),
        "alerts.P3: found a severity that is not described, expected one of P0, P1, P2",
    ),
    "window": (
        ("system.yaml", "Sun 02:00-04:00 UTC", "Sun 04:00-02:00 UTC"),
        "maintenance.windows[0]: found 'Sun 04:00-02:00 UTC', "
        "expected a window that ends later on the same day (two windows over midnight)",
    ),
    "ramps": (
        ("system.yaml", "ramps: [25, 100]", "ramps: [25, 50]"),
        "rollout.ramps: found 25, 50, expected percentages that grow and end with 100",
    ),
    "a role side by side twice": (
        ("system.yaml", "side_by_side: [[db, cache],", "side_by_side: [[app, db], [db, cache],"),
        "rollout.side_by_side[1]: found db again, expected each role once",
    ),
    "no one to tell": (
        ("system.yaml", "  security: security@", "  ops: security@"),
        "contacts.security: found nothing, expected an e-mail address for security incidents",
    ),
    "telephone outside the store": (
        ("system.yaml", "security@everydayai.test", "+65 6591 7888"),
        "contacts.security: found '+65 6591 7888', "
        "expected an e-mail address, or vault; telephone numbers belong in the secret store",
    ),
    "not per_env": (
        ("production.yaml", "redis:\n", "redis:\n  policy: allkeys-lru\n"),
        "redis.policy: found a value of this environment, expected it in system.yaml only: it is not per_env",
    ),
    "service of one environment": (
        ("production.yaml", "services:\n", "services:\n  extra: {kind: static}\n"),
        "services.extra: found an entry that system.yaml lacks, expected one that it has",
    ),
    "hosts in the shared file": (
        ("system.yaml", "services:\n", "hosts: {}\n\nservices:\n"),
        "hosts: found hosts, expected them in production.yaml",
    ),
    "command without a port": (
        ("system.yaml", "--port {port} ", ""),
        "services.backend.exec: found 'venv/bin/uvicorn {entry} --host 127.0.0.1 --workers {workers}', "
        "expected a command that passes {port} to the program",
    ),
    "service without its parts": (
        ("system.yaml", DEFAULT_SLOTS, ""),
        "services.backend: found no slots, expected a python service to have port, slots, exec and limits",
    ),
    "checksum": (
        (
            "releases.yaml",
            RELEASES,
            "releases: {backend: {version: 1.0.0, artefacts: {1.0.0: {file: a, sha256: abc}}}}",
        ),
        "releases.backend.artefacts[\"1.0.0\"].sha256: found 'abc', "
        "expected a SHA-256 checksum: 64 hexadecimal digits in lower case",
    ),
    "version that was not built": (
        (
            "releases.yaml",
            RELEASES,
            f"releases: {{backend: {{version: 1.0.1, artefacts: {{1.0.0: {{file: a, sha256: {SHA}}}}}}}}}",
        ),
        "releases.backend.version: found 1.0.1, expected one of its artefacts: 1.0.0",
    ),
    "release of no service": (
        (
            "releases.yaml",
            RELEASES,
            f"releases: {{worker: {{version: 1.0.0, artefacts: {{1.0.0: {{file: a, sha256: {SHA}}}}}}}}}",
        ),
        "releases.worker: found a release of no service, expected one of frontend, backend",
    ),
    "site of no service": (
        ("system.yaml", "static: frontend", "static: fronted"),
        "nginx.sites.site.static: found 'fronted', expected a service of kind static",
    ),
}


@pytest.mark.parametrize(("edit", "message"), CASES.values(), ids=CASES.keys())
def test_each_fault_is_one_sentence(tmp_path: Path, edit: Edit, message: str) -> None:
    assert messages(copied(tmp_path, edit)) == [message]


def test_a_system_has_the_name_of_its_folder(tmp_path: Path) -> None:
    """Of what is named after it, only the logs' folder is in the inventory."""
    assert messages(copied(tmp_path, ("system.yaml", "system: everydayai ", "system: everyday "))) == [
        "system: found 'everyday', expected everydayai, the name of the folder",
        "logs.files.backend: found /var/log/everydayai/backend.log, expected a file of /var/log/everyday/",
    ]


def test_a_message_names_file_and_line(tmp_path: Path) -> None:
    root = copied(tmp_path, ("system.yaml", "workers: 4 ", "workers: four "))
    text = (root / "inventories/everydayai/system.yaml").read_text()
    line = text[: text.index("workers: four")].count("\n") + 1
    assert problems(root)[0].file == f"inventories/everydayai/system.yaml:{line}"


def test_a_value_of_the_environment_names_the_environments_file(tmp_path: Path) -> None:
    root = copied(tmp_path, ("production.yaml", "maxmemory: 512mb", "maxmemory: -1"))
    assert problems(root)[0].file.startswith("inventories/everydayai/production.yaml:")


def test_hosts_are_missed_in_the_environments_file(tmp_path: Path) -> None:
    root = copied(tmp_path, ("production.yaml", "hosts:", "hostz:"))
    assert [str(problem) for problem in problems(root)] == [
        "inventories/everydayai/production.yaml: hosts: found nothing, expected a value",
        "inventories/everydayai/production.yaml:9: hostz: found an unknown key, expected hosts",
    ]


def test_all_faults_at_once(tmp_path: Path) -> None:
    """Structure, clashes, rules and the environment's own file: nobody corrects one to see the next."""
    root = copied(
        tmp_path,
        ("system.yaml", "    drain_s: 30", "    drain: 30"),
        ("system.yaml", "workers: 4 ", "workers: four "),
        ("system.yaml", DEFAULT_SLOTS, "slots: {blue: 8000, green: 28000}"),
        ("system.yaml", "APP_DEBUG: {type: bool, value: false", "APP_DEBUG: {type: bool, value: true"),
        ("system.yaml", "cpu_pct: {warn: 70", "cpu_pct: {warn: 99"),
        ("production.yaml", "redis:\n", "redis:\n  policy: allkeys-lru\n"),
        ("production.yaml", "address: 198.51.100.12", "address: 198.51.100.11"),
        ("releases.yaml", RELEASES, "releases: {backend: {version: 1, artefacts: {}}}"),
    )
    keys = {problem.key for problem in problems(root)}
    assert keys >= {
        "services.backend.drain",
        "services.backend.workers",
        "services.backend.port",
        "services.backend.env_vars.APP_DEBUG.value",
        "thresholds.cpu_pct",
        "redis.policy",
        "hosts.eai-web-2.address",
        "releases.backend.version",
        "releases.backend.artefacts",
    }
