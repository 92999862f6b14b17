"""Bad input, case by case, as the real command on real hosts: one message, hosts as before, works once mended."""

from __future__ import annotations

import hashlib
import io
import json
import re
import shutil
import tarfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.json_schema import faults
from tests.lab.laptop import ROOT, SYSTEM, Done, Laptop

STAGING, PRODUCTION = f"{SYSTEM}/staging", f"{SYSTEM}/production"
CACHE = ["apply", STAGING, "--limit", "cache"]
WEB = ["apply", STAGING, "--limit", "web"]


@dataclass(frozen=True)
class Case:
    """A fault, the command that meets it, its exit code, and what its one message must be (a pattern, all of it)."""

    fault: Callable[[Laptop], None]
    words: list[str]
    message: str
    code: int = 2


def edit(file: str, old: str, new: str) -> Callable[[Laptop], None]:
    return lambda laptop: laptop.edit(file, old, new)


def secret(env: str, name: str, value: Callable[[Laptop], str]) -> Callable[[Laptop], None]:
    def fault(laptop: Laptop) -> None:
        done = laptop.mainstay("secrets", "set", f"{SYSTEM}/{env}", name, stdin=value(laptop))
        assert done.code == 0, done.text

    return fault


def stored(laptop: Laptop, env: str, name: str) -> str:
    done = laptop.mainstay("secrets", "get", f"{SYSTEM}/{env}", name)
    assert done.code == 0, done.text
    return done.out


def forget(name: str) -> Callable[[Laptop], None]:
    """Removes a secret as an operator does, in an editor."""

    def fault(laptop: Laptop) -> None:
        laptop.variables["EDITOR"] = f"sed -i /^{name}:/d"
        done = laptop.mainstay("secrets", "edit", STAGING)
        assert done.code == 0 and f"{name} is removed." in done.out, done.text

    return fault


def own_template(name: str, more: str) -> Callable[[Laptop], None]:
    """The operator's own copy of a bundled template, with a mistake at its end."""

    def fault(laptop: Laptop) -> None:
        path = laptop.project / "templates" / name
        path.parent.mkdir(parents=True)
        path.write_text((ROOT / "templates" / name).read_text() + more)

    return fault


def next_frontend(laptop: Laptop) -> Path:
    """Builds and pins a next version of the frontend; its artefact."""
    artefacts = laptop.project / "artefacts"
    path = artefacts / f"{SYSTEM}-frontend-1.0.1.tar"
    with tarfile.open(artefacts / f"{SYSTEM}-frontend-1.0.0.tar") as old, tarfile.open(path, "w") as new:
        for member in old:
            data = old.extractfile(member)
            body = data.read() if data else b""
            if member.name.endswith("release.json"):
                body = json.dumps(json.loads(body) | {"version": "1.0.1"}).encode()
            member.size = len(body)
            new.addfile(member, io.BytesIO(body))
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    pin = f"version: 1.0.1\n    artefacts:\n      1.0.1: {{file: {path.name}, sha256: {digest}}}"
    text = (laptop.project / "inventories" / SYSTEM / "releases.yaml").read_text()
    head, _, tail = text.partition("  frontend:")
    (laptop.project / "inventories" / SYSTEM / "releases.yaml").write_text(
        head + "  frontend:" + tail.replace("version: 1.0.0\n    artefacts:", pin)
    )
    return path


def damaged_artefact(laptop: Laptop) -> None:
    with next_frontend(laptop).open("r+b") as artefact:
        artefact.seek(600)
        artefact.write(b"damage")


CASES = {
    "unknown key": Case(
        edit("system.yaml", "    port: 8000 ", "    prot: 8000 "),
        CACHE,
        r"inventories/everydayai/system\.yaml:\d+: services\.backend\.prot: found an unknown key, expected port",
    ),
    "wrong type": Case(
        edit("system.yaml", "workers: 4 ", "workers: four "),
        CACHE,
        r"inventories/everydayai/system\.yaml:\d+: services\.backend\.workers: found 'four', expected a whole number",
    ),
    "port used twice": Case(
        edit("system.yaml", "slots: {blue: 18000,", "slots: {blue: 8000,"),
        CACHE,
        r"inventories/everydayai/system\.yaml:\d+: services\.backend\.port: found port 8000 for nginx for backend, "
        r"which backend \(blue\) has on eai-stg-app-1, expected a port of its own",
    ),
    "missing secret": Case(
        forget("KIE_API_KEY"),
        CACHE,
        r"inventories/everydayai/secrets\.staging\.yaml: KIE_API_KEY: found no such secret, expected it there; "
        r"`mainstay secrets generate` or `set` stores it",
    ),
    "JWT secret of 31 characters": Case(
        secret("staging", "JWT_SECRET_KEY", lambda _: "j" * 31 + "\n"),
        CACHE,
        r"inventories/everydayai/system\.yaml:\d+: services\.backend\.env_vars\.JWT_SECRET_KEY: "
        r"found a secret JWT_SECRET_KEY of 31 characters, expected at least 32 characters, a line break at the end not "
        r"counted",
    ),
    "the same JWT secret in staging and production": Case(
        secret("staging", "JWT_SECRET_KEY", lambda laptop: stored(laptop, "production", "JWT_SECRET_KEY")),
        CACHE,
        r"inventories/everydayai/system\.yaml:\d+: services\.backend\.env_vars\.JWT_SECRET_KEY\.differs_between: "
        r"found the same secret JWT_SECRET_KEY in staging and production, expected .*",
    ),
    "APP_DEBUG in production": Case(
        edit("production.yaml", "    env_vars:\n", "    env_vars:\n      APP_DEBUG: {value: true}\n"),
        ["plan", PRODUCTION],
        r"inventories/everydayai/\w+\.yaml:\d+: services\.backend\.env_vars\.APP_DEBUG.*: found .*true.*, "
        r"expected .*false.*",
    ),
    "template with an undefined name": Case(
        own_template("redis/redis.conf.j2", "maxmemory {{ no_such_value }}\n"),
        CACHE,
        r"templates/redis/redis\.conf\.j2: found 'no_such_value' is undefined, "
        r"expected a value for every name in the template",
    ),
    "artefact with another checksum": Case(
        damaged_artefact,
        WEB,
        r'inventories/everydayai/releases\.yaml:\d+: releases\.frontend\.artefacts\["1\.0\.1"\]\.sha256: '
        r"found artefacts/everydayai-frontend-1\.0\.1\.tar with SHA-256 \w{64}, expected \w{64}, as it is pinned",
    ),
}


@pytest.fixture(scope="module")
def before(origin: Laptop, staging: list[str]) -> dict[str, list[str]]:
    """What staging is, converged."""
    return origin.fingerprints(staging)


def restore(laptop: Laptop, origin: Laptop) -> None:
    """Takes the cause away: the project is what it was."""
    shutil.rmtree(laptop.project)
    shutil.copytree(origin.project, laptop.project, symlinks=True)


def untouched(laptop: Laptop, before: dict[str, list[str]]) -> None:
    """Asserts that no host differs in anything, and names the lines where one does."""
    after = laptop.fingerprints(before)
    differing = {name: sorted(set(lines) ^ set(after[name])) for name, lines in before.items()}
    assert not any(differing.values()), differing


def the_message(done: Done) -> str:
    """The one error message of a command that printed no more than one."""
    assert "Traceback" not in done.text
    assert len(done.errors) == 1, done.text
    return done.errors[0]


@pytest.mark.parametrize("name", CASES)
def test_bad_input_is_one_message_and_touches_nothing(
    name: str, laptop: Laptop, origin: Laptop, before: dict[str, list[str]]
) -> None:
    case = CASES[name]
    case.fault(laptop)
    refused = laptop.mainstay(*case.words)
    assert refused.code == case.code, refused.text
    assert re.fullmatch(case.message, the_message(refused)), refused.text
    assert refused.out == "", "a refusal goes to standard error alone"
    untouched(laptop, before)
    restore(laptop, origin)
    mended = laptop.mainstay(*case.words)
    assert mended.code == 0, mended.text
    untouched(laptop, before)


def test_configuration_that_nginx_refuses_is_put_back(
    laptop: Laptop, origin: Laptop, before: dict[str, list[str]]
) -> None:
    own_template("nginx/nginx.conf.j2", "no_such_directive on;\n")(laptop)
    refused = laptop.mainstay(*WEB, "--json")
    assert refused.code == 1, refused.text
    assert "Traceback" not in refused.text and not refused.errors
    (environment,) = refused.json["environments"]
    assert environment["result"] == "put back"
    (message,) = environment["batches"][0]["failures"].values()
    assert 'unknown directive "no_such_directive"' in message
    assert refused.err.count("no_such_directive") == 1, refused.err
    assert [(back["host"], back["ok"]) for back in environment["put_back"]] == [("eai-stg-web-1", True)]
    untouched(laptop, before)
    restore(laptop, origin)
    mended = laptop.mainstay(*WEB, "--json")
    assert mended.code == 0, mended.text
    assert faults("apply", mended.json) == []
    untouched(laptop, before)


@pytest.mark.covers("EV-07")
def test_production_with_debug_is_refused_by_what_deploys_and_instances_run_without(
    laptop: Laptop, before: dict[str, list[str]]
) -> None:
    edit("production.yaml", "    env_vars:\n", "    env_vars:\n      APP_DEBUG: {value: true}\n")(laptop)
    for words in (["rollout", SYSTEM], ["apply", PRODUCTION, "--emergency", "--reason", "a test"]):
        refused = laptop.mainstay(*words)
        assert refused.code == 2, refused.text
        assert "APP_DEBUG" in the_message(refused)
    untouched(laptop, before)
    ask = "for pid in $(pgrep -u everydayai); do tr '\\0' '\\n' < /proc/$pid/environ | grep ^APP_DEBUG=; done | sort -u"
    assert laptop.sh("eai-stg-app-1", ask) == "APP_DEBUG=false\n"


@pytest.mark.covers("EV-02", "DF-65")
def test_a_jwt_secret_of_31_characters_is_refused_and_one_of_32_taken(laptop: Laptop) -> None:
    value = "Kx7mPq2Rt9vW" * 3
    for length, code in ((31, 2), (32, 0)):
        secret("staging", "JWT_SECRET_KEY", lambda _, n=length: value[:n] + "\n")(laptop)
        assert stored(laptop, "staging", "JWT_SECRET_KEY") == value[:length]
        done = laptop.mainstay("check", SYSTEM)
        assert done.code == code, done.text
        assert value[:length] not in done.text


@pytest.mark.covers("EV-02")
def test_the_same_secret_in_both_environments_is_never_shown(laptop: Laptop) -> None:
    value = stored(laptop, "production", "JWT_SECRET_KEY")
    secret("staging", "JWT_SECRET_KEY", lambda _: value)(laptop)
    for words in (["check", SYSTEM], ["plan", STAGING, "--json"], ["rollout", SYSTEM], ["render", PRODUCTION]):
        refused = laptop.mainstay(*words)
        assert refused.code == 2, refused.text
        assert "the same secret JWT_SECRET_KEY" in refused.text
        assert value not in refused.text
