"""`mainstay apply` and `plan`: what they refuse before the first connection, as an operator runs them."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.test_check import mainstay
from tests.unit.inventories import SHIPPED, copied
from tests.unit.releases import EXAMPLE, built
from workload.build import CI

COMMANDS = (["apply", "everydayai/staging"], ["plan", "everydayai/staging"], ["rollout", "everydayai"])


@pytest.fixture
def nowhere(tmp_path: Path) -> Path:
    """The shipped system, whose hosts stand on a port of this machine where a connection would be noticed."""
    root = copied(tmp_path)
    folder = root / "inventories" / "everydayai"
    for env, network in (("staging", "192.0.2."), ("production", "198.51.100.")):
        path = folder / f"{env}.yaml"
        path.write_text(path.read_text().replace(f"address: {network}", f"address: 127.0.{len(env)}."))
    return root


def template(root: Path, name: str, text: str) -> None:
    path = root / "templates" / name
    path.parent.mkdir(parents=True)
    path.write_text(text)


@pytest.mark.parametrize("words", COMMANDS, ids=lambda words: words[0])
def test_a_template_that_fails_is_refused_in_one_sentence(nowhere: Path, words: list[str]) -> None:
    template(nowhere, "redis/unit.conf.j2", "{{ no_such_value }}\n")
    done = mainstay(*words, project=nowhere)
    assert done.returncode == 2
    errors = [line for line in done.stderr.splitlines() if line.startswith("mainstay: ")]
    assert errors == [
        "mainstay: templates/redis/unit.conf.j2: found 'no_such_value' is undefined, "
        "expected a value for every name in the template"
    ]


@pytest.mark.parametrize("words", COMMANDS, ids=lambda words: words[0])
def test_an_artefact_with_another_checksum_is_refused_in_one_sentence(nowhere: Path, words: list[str]) -> None:
    pins = (SHIPPED / "everydayai" / "releases.yaml").read_text()
    (nowhere / "inventories" / "everydayai" / "releases.yaml").write_text(pins)
    (nowhere / "artefacts").mkdir()
    (nowhere / "artefacts" / "everydayai-frontend-1.0.0.tar").write_bytes(b"something else")
    done = mainstay(*words, project=nowhere)
    assert done.returncode == 2
    (error,) = [line for line in done.stderr.splitlines() if line.startswith("mainstay: ")]
    key = 'releases.yaml:17: releases.frontend.artefacts["1.0.0"].sha256'
    assert f"{key}: found artefacts/everydayai-frontend-1.0.0.tar with" in error


@pytest.mark.covers("DP-01")
@pytest.mark.parametrize("words", [["apply", "everydayai/production"], ["rollout", "everydayai"]])
def test_a_release_whose_tests_failed_is_refused_before_any_connection(nowhere: Path, words: list[str]) -> None:
    built(nowhere, CI | {"tests": "failed"})
    done = mainstay(*words, project=nowhere)
    assert done.returncode == 3
    assert 'everydayai/production: backend 1.2.0: gates.tests: found tests "failed", expected passed' in done.stderr
    assert "does not answer" not in done.stderr, "staging was asked first"


@pytest.mark.covers("DP-04", "EV-16")
def test_a_release_that_needs_a_variable_nobody_sets_is_refused_by_its_name(nowhere: Path) -> None:
    built(nowhere, CI, EXAMPLE.replace("KIE_BASE_URL=", "# KIE_BASE_URL=") + "NEW_MODE=fast\n")
    key = (
        "services.backend.env_vars.NEW_MODE: found nothing, expected a variable that .env.example of the release names"
    )
    for words in (["apply", "everydayai/staging"], ["check", "everydayai"]):
        done = mainstay(*words, project=nowhere)
        assert done.returncode == 2
        assert key in done.stderr
    assert "everydayai/staging: .env.example of backend 1.2.0 lacks KIE_BASE_URL" in done.stderr


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["everydayai"], "target: found 'everydayai', expected SYSTEM/staging or SYSTEM/production"),
        (["everydayai/staging", "--limit", "db,nobody"], "--limit: found 'nobody', expected a role or a host"),
        (["everydayai/production", "--emergency"], "--reason: found none, expected why"),
        (["everydayai/staging", "--deadline", "-5"], "--deadline: found -5, expected minutes, more than 0"),
    ],
)
def test_wrong_usage(nowhere: Path, words: list[str], told: str) -> None:
    done = mainstay("apply", *words, project=nowhere)
    assert done.returncode == 2
    assert told in done.stderr


def test_an_apply_without_secrets_is_refused_before_any_connection(nowhere: Path) -> None:
    done = mainstay("apply", "everydayai/staging", "--limit", "cache", project=nowhere)
    assert done.returncode == 2
    assert "secrets.staging.yaml: no such file, expected it to hold" in done.stderr
    assert "`mainstay secrets generate` makes it" in done.stderr


def test_a_host_that_is_not_there_ends_with_1_and_its_name(nowhere: Path, refusing_port: int) -> None:
    path = nowhere / "inventories" / "everydayai" / "staging.yaml"
    there = f"address: 127.0.0.1, ssh_port: {refusing_port}"
    path.write_text(path.read_text().replace("address: 127.0.7.41", there))
    assert mainstay("secrets", "generate", "--stand-ins", "everydayai/staging", project=nowhere).returncode == 0
    done = mainstay("apply", "everydayai/staging", "--limit", "cache", project=nowhere)
    assert done.returncode == 1
    assert "eai-stg-cache-1: does not answer" in done.stderr
    assert "nothing was changed" in done.stderr
