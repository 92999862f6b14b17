"""Plain testinfra over ssh on the same suites: check by check, `mainstay verify`'s verdict and its reason."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.lab.laptop import ROOT, SYSTEM, Laptop

STAGING = f"{SYSTEM}/staging"
PSQL = "runuser -u postgres -- psql -q"
# What somebody may do by hand, on each host: checks fail of it, and others beside them pass.
BY_HAND = {
    "eai-stg-web-1": "echo >> /etc/nginx/nginx.conf; ln -sfn /usr/share/zoneinfo/Europe/Berlin /etc/localtime",
    "eai-stg-app-1": "usermod -aG operators games; systemctl disable --quiet --now apt-daily-upgrade.timer",
    "eai-stg-db-1": f"cd /; {PSQL} -c \"ALTER SYSTEM SET work_mem = '1MB'\" -c 'SELECT pg_reload_conf()'",
    "eai-stg-cache-1": "chmod 644 /etc/redis/redis.conf",
}
Checks = dict[tuple[str, str, str], tuple[bool, str]]


def by_check(rows: list[dict[str, Any]]) -> Checks:
    """Verdict and reason, by host, component and check."""
    found = {(row["host"], row["component"], row["check"]): (row["ok"], row["reason"]) for row in rows}
    assert len(found) == len(rows)
    return found


def by_plain_testinfra(laptop: Laptop, hosts: list[str], components: set[str], folder: Path) -> Checks:
    """A session of OpenSSH for each command, on one connection a host."""
    sockets = folder / "s"
    sockets.mkdir()
    shown = ",".join(f"ssh://{name}?controlpath={sockets}/{name}" for name in hosts)
    report = folder / "plain.jsonl"
    options = ["-q", "-p", "no:cacheprovider", "-o", "addopts=", "--import-mode=importlib", "-n", "2"]
    words = ["--inventory", STAGING, "--hosts", shown, "--mainstay-report", str(report)]
    words += [str(ROOT / "tests" / "verify" / f"test_{name}.py") for name in sorted(components)]
    own = replace(laptop, variables={"PYTHONPATH": str(ROOT)})
    done = own.run(sys.executable, "-m", "pytest", *options, *words, timeout=900)
    assert done.code in (0, 1), done.text
    return by_check([json.loads(line) for line in report.read_text().splitlines()])


def by_mainstay(laptop: Laptop) -> Checks:
    done = laptop.mainstay("verify", STAGING, "--json")
    assert done.code in (0, 1), done.text
    return by_check(done.json["checks"])


def remembered(laptop: Laptop) -> dict[str, dict[str, list[Any]]]:
    """What was asked of each host last time, by file and host, in order."""
    found = (laptop.folder / "state" / "mainstay" / "questions").glob("*.json")
    return {path.name: json.loads(json.loads(path.read_text())["questions"]) for path in found}


@pytest.fixture
def changed(laptop: Laptop, staging: list[str]) -> Iterator[list[str]]:
    """The hosts, each with a change by hand; what an apply brings back afterwards."""
    for name, script in BY_HAND.items():
        laptop.sh(name, script)
    yield staging
    done = laptop.mainstay("apply", STAGING)
    assert done.code == 0, done.text


def test_verdicts_and_reasons_are_plain_testinfra_s(laptop: Laptop, changed: list[str], tmp_path: Path) -> None:
    """Once with nothing remembered, once asked ahead: neither what is known nor how it was asked shows in a verdict."""
    ours = by_mainstay(laptop)
    before = remembered(laptop)
    theirs = by_plain_testinfra(laptop, changed, {component for _, component, _ in ours}, tmp_path)
    failing = {host for (host, _, _), (ok, _) in theirs.items() if not ok}
    assert failing >= set(BY_HAND), theirs
    assert sum(ok for ok, _ in theirs.values()) > 100
    assert ours == theirs
    assert by_mainstay(laptop) == theirs
    # A command that is another one in each run would end all that was asked ahead, and have it asked once more.
    assert remembered(laptop) == before
