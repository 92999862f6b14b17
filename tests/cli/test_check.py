"""`mainstay check`, `schema` and `init` as an operator runs them, in a process of their own."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.json_schema import faults
from tests.unit.inventories import copied


def mainstay(*words: str, project: Path, **more: str) -> subprocess.CompletedProcess[str]:
    """The real command, in the project, without the caller's own settings."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith("MAINSTAY_")}
    kept["MAINSTAY_AGE_IDENTITY"] = str(project / "no-identity")
    return subprocess.run(
        [sys.executable, "-m", "mainstay", *words],
        cwd=project, env=kept | more, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip


def test_a_good_system_is_one_line(tmp_path: Path) -> None:
    done = mainstay("check", "everydayai", project=copied(tmp_path))
    assert (done.returncode, done.stdout) == (0, "everydayai: ok (staging 5 hosts, production 8 hosts)\n"), done.stderr
    assert "everydayai/staging: no secrets.staging.yaml yet" in done.stderr


def test_all_problems_then_exit_2_and_0_once_they_are_gone(tmp_path: Path) -> None:
    root = copied(
        tmp_path,
        ("system.yaml", "workers: 4 ", "workers: four "),
        ("system.yaml", "cpu_pct: {warn: 70", "cpu_pct: {warn: 99"),
        ("production.yaml", "roles: [cache]", "roles: [cache, scylla]"),
    )
    done = mainstay("check", project=root)
    assert done.returncode == 2
    assert done.stdout == "everydayai: 2 problems\n"
    told = [line for line in done.stderr.splitlines() if line.startswith("mainstay: ")]
    assert [line.split(": ")[2] for line in told] == ["services.backend.workers", "thresholds.cpu_pct"]
    path = root / "inventories/everydayai/system.yaml"
    path.write_text(path.read_text().replace("workers: four ", "workers: 4 ").replace("warn: 99", "warn: 70"))
    done = mainstay("check", project=root)
    assert done.returncode == 2
    assert (
        "hosts.eai-cache-1.roles: found role scylla, which nothing uses, expected roles that something uses"
        in done.stderr
    )
    path = root / "inventories/everydayai/production.yaml"
    path.write_text(path.read_text().replace(", scylla", ""))
    assert mainstay("check", project=root).returncode == 0


def test_one_environment_is_named_as_elsewhere(tmp_path: Path) -> None:
    """What is wrong with the other one is left for another day."""
    root = copied(tmp_path, ("production.yaml", "address: 198.51.100.12", "address: 198.51.100.11"))
    done = mainstay("check", "everydayai/staging", project=root)
    assert (done.returncode, done.stdout) == (0, "everydayai: ok (staging 5 hosts)\n"), done.stderr
    assert "production" not in done.stderr
    done = mainstay("check", "everydayai/production", "--json", project=root)
    report = json.loads(done.stdout)
    assert (done.returncode, faults("check", report)) == (2, [])
    assert [one["key"] for one in report["systems"][0]["problems"]] == ["hosts.eai-web-2.address"]


def test_json(tmp_path: Path) -> None:
    root = copied(tmp_path, ("system.yaml", "workers: 4 ", "workers: four "))
    done = mainstay("check", "--json", project=root)
    report = json.loads(done.stdout)
    assert done.returncode == 2
    assert faults("check", report) == []
    assert report["ok"] is False
    assert report["systems"][0]["problems"] == [
        {
            "file": report["systems"][0]["problems"][0]["file"],
            "key": "services.backend.workers",
            "found": "'four'",
            "expected": "a whole number",
        }
    ]


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("check", "nosuch"), "inventories/nosuch/system.yaml: found no such file, expected a system: everydayai"),
        (("check", "nosuch/staging"), "inventories/nosuch/system.yaml: found no such file, expected a system: every"),
        (("check", ".."), "inventories/../system.yaml: found no such file, expected a system: everydayai"),
        (
            ("check", "everydayai/prod"),
            "target: found 'everydayai/prod', expected SYSTEM/staging or SYSTEM/production (systems: everydayai)",
        ),
        (("check", "../x"), "target: found '../x', expected SYSTEM/staging or SYSTEM/production"),
        (
            ("init", "Bad_Name"),
            "NAME: found 'Bad_Name', expected a name of 1 to 24 lower-case letters, digits and inner",
        ),
        (("lab", "up"), "SYSTEM: found nothing, expected a system, or --all."),
        (
            ("lab", "up", "--all", "everydayai"),
            "--all: found everydayai beside it, expected every host of every system",
        ),
        (("schema", "--out", "/proc/nowhere"), "/proc/nowhere: found a folder that cannot be written"),
    ],
)
def test_wrong_usage_is_one_sentence(tmp_path: Path, words: tuple[str, ...], sentence: str) -> None:
    done = mainstay(*words, project=copied(tmp_path))
    assert done.returncode == 2
    assert sentence in done.stderr
    assert "Traceback" not in done.stderr


def test_a_project_that_is_none(tmp_path: Path) -> None:
    done = mainstay("check", project=tmp_path, MAINSTAY_PROJECT=str(tmp_path))
    assert done.returncode == 2
    assert done.stderr.strip().endswith("expected a folder that holds inventories/.")


def test_init_passes_check_at_once_and_overwrites_nothing(tmp_path: Path) -> None:
    done = mainstay("init", "shop-eu", project=tmp_path)
    assert done.returncode == 0, done.stderr
    done = mainstay("check", project=tmp_path / "shop-eu")
    assert (done.returncode, done.stdout) == (0, "shop-eu: ok (staging 1 hosts, production 1 hosts)\n"), done.stderr
    for path in (path for path in (tmp_path / "shop-eu").rglob("*") if path.is_file()):
        assert not re.search(r"@[A-Z]+@", path.read_text()), path
    again = mainstay("init", "shop-eu", project=tmp_path)
    assert again.returncode == 2
    assert "found a system of that name already" in again.stderr


def test_two_systems_in_one_project(tmp_path: Path) -> None:
    root = copied(tmp_path)
    assert mainstay("init", "shop", "--dir", ".", project=root).returncode == 0
    done = mainstay("check", project=root)
    assert [line.partition(":")[0] for line in done.stdout.splitlines()] == ["everydayai", "shop"]
    assert done.returncode == 0, done.stderr


def test_schema_prints_what_it_writes(tmp_path: Path) -> None:
    root = copied(tmp_path)
    printed = json.loads(mainstay("schema", project=root).stdout)
    assert mainstay("schema", "--out", "inventories/schema", project=root).returncode == 0
    for name, schema in printed.items():
        assert json.loads((root / "inventories/schema" / name).read_text()) == schema
