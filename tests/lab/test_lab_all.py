"""Staging of all shipped systems side by side in one lab: what it costs, names that do not clash, all gone at once."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator

import pytest
import yaml

from mainstay.lab import memory
from tests.lab.bench import ROOT

MOST = 16 << 30
SYSTEMS = sorted(path.parent.name for path in (ROOT / "inventories").glob("*/system.yaml"))
HOSTS = {
    (system, name): spec
    for system in SYSTEMS
    for name, spec in yaml.safe_load((ROOT / "inventories" / system / "staging.yaml").read_text())["hosts"].items()
}


def outside(lab: str, *words: str) -> subprocess.CompletedProcess[str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("MAINSTAY_")}
    env = {**kept, "MAINSTAY_LAB": lab, "MAINSTAY_PROJECT": str(ROOT)}
    command = [sys.executable, "-m", "mainstay", "lab", *words]
    return subprocess.run(command, env=env, capture_output=True, text=True, check=False, timeout=600)


@pytest.fixture(scope="module")
def everything(lab: str) -> Iterator[tuple[str, int]]:
    """A lab with all of them, by one command, and the bytes that it took."""
    name = f"{lab}-all"
    assert outside(name, "down").returncode == 0
    before = memory.in_use()
    done = outside(name, "up", "--all")
    assert done.returncode == 0, done.stdout + done.stderr
    yield name, memory.in_use() - before
    assert outside(name, "down").returncode == 0


def test_every_host_of_every_staging_is_up_and_no_other(everything: tuple[str, int]) -> None:
    lab, taken = everything
    shown = json.loads(outside(lab, "status", "--json").stdout)["hosts"]
    assert {(host["system"], host["name"]) for host in shown} == set(HOSTS)
    assert all(host["env"] == "staging" and host["power"] and host["plugged"] for host in shown), shown
    assert len({host["address"] for host in shown}) == len(HOSTS), "an address of its own for each"
    assert taken < MOST, f"{taken / (1 << 30):.1f} GiB"


def test_each_is_found_by_its_name_and_is_who_it_says(everything: tuple[str, int]) -> None:
    lab, _ = everything
    for system, name in HOSTS:
        done = outside(lab, "ssh", f"{system}/staging/{name}", "hostname")
        assert done.stdout.strip() == name, done.stderr


def test_one_system_goes_and_the_others_stay(everything: tuple[str, int]) -> None:
    lab, _ = everything
    assert outside(lab, "down", SYSTEMS[0]).returncode == 0
    left = {host["system"] for host in json.loads(outside(lab, "status", "--json").stdout)["hosts"]}
    assert left == set(SYSTEMS[1:])
    done = outside(lab, "up", "--all")
    assert done.returncode == 0, done.stderr
    assert f"{len(HOSTS)} hosts of {', '.join(SYSTEMS)} are up" in done.stderr + done.stdout
