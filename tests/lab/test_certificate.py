"""A certificate that the inventory gives, on a web host: refused offline for other names, served, renewed, broken."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest

from deploys.operations.internal_ca import Issued, issue
from mainstay.inventory.stores import secrets_file
from mainstay.secrets import SecretStore
from tests.lab import releases
from tests.lab.laptop import SYSTEM, Laptop
from tests.lab.releases import API, NAME, WEB, Stage

GIVEN = "/etc/ssl/everydayai/given"
SHOWN = f"openssl s_client -connect 127.0.0.1:443 -servername {NAME} </dev/null 2>/dev/null | openssl x509"
# The sites' services run on hosts that this lab leaves out; what is asked of those fails with or without a certificate.
ELSEWHERE = {"reaches every app host itself", "services answer through their sites"}
SHOWS, COVERS = "clients are shown the certificate that is there", "certificate covers the sites and its key is root s"


@pytest.fixture(scope="module")
def stage(origin: Laptop, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """A web host with a certificate of its own making."""
    laptop = origin.copy(tmp_path_factory.mktemp("certificate"), f"{origin.lab}-tls")
    for words in (["down"], ["up", SYSTEM, "--env", "staging", "--hosts", WEB]):
        done = laptop.mainstay("lab", *words)
        assert done.code == 0, done.text
    stage = releases.of(laptop)
    stage.converge(WEB)
    yield stage
    assert laptop.mainstay("lab", "down").code == 0


def put(stage: Stage, names: list[str]) -> Issued:
    """A new certificate for these names, in the project, with its key in the store."""
    issued = issue("a seed of a test", "test", names, datetime.now(UTC))
    path = stage.project / "inventories" / SYSTEM / "tls" / "staging.pem"
    path.parent.mkdir(exist_ok=True)
    path.write_text(issued.certificate + issued.authority)
    SecretStore.open(secrets_file(stage.project, SYSTEM, "staging")).set("SITE_KEY", issued.key)
    return issued


def serial(stage: Stage) -> str:
    return stage.sh(WEB, f"{SHOWN} -noout -serial -issuer")


@pytest.fixture(scope="module")
def given(stage: Stage) -> Stage:
    """The same host with a certificate of the inventory."""
    stage.edit("system.yaml", "    - KIE_API_KEY", "    - KIE_API_KEY\n    - SITE_KEY")
    stage.edit("staging.yaml", "\nhosts:", "\nnginx: {tls: {certificate: tls/staging.pem, key: SITE_KEY}}\n\nhosts:")
    put(stage, [NAME, API])
    stage.converge(WEB)
    return stage


def test_what_is_given_is_served_and_passes_every_check(given: Stage) -> None:
    assert "issuer=CN = Mainstay test" in serial(given)
    assert given.sh(WEB, f"stat -c '%U %a' {GIVEN}/privkey.pem").strip() == "root 600"
    assert given.failing("nginx", WEB) == ELSEWHERE


def test_one_for_another_name_is_refused_before_any_host_is_asked(given: Stage) -> None:
    """With its cable pulled: whoever asked the host would say that it does not answer."""
    before = serial(given)
    put(given, [NAME, "www.everydayai.test"])
    assert given.mainstay("lab", "cut", WEB).returncode == 0
    try:
        done = given.mainstay("apply", given.target, "--limit", WEB)
    finally:
        assert given.mainstay("lab", "heal", WEB).returncode == 0
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1].endswith(
        "nginx.tls.certificate: found inventories/everydayai/tls/staging.pem: a certificate for "
        f"{NAME}, www.everydayai.test, expected one for {NAME}, {API}"
    )
    put(given, [NAME, API])
    assert serial(given) == before


def test_the_next_one_is_taken_up_without_a_restart(given: Stage) -> None:
    given.converge(WEB)
    before, process = serial(given), given.sh(WEB, "systemctl show -P MainPID nginx")
    put(given, [NAME, API])
    plan = given.plan(WEB)
    assert "PRIVATE KEY" not in json.dumps(plan)
    given.converge(WEB)
    assert serial(given) != before
    assert given.sh(WEB, "systemctl show -P MainPID nginx") == process


BREAKS = {
    "a certificate that was changed by hand": (
        f"cp /etc/ssl/everydayai/live/fullchain.pem {GIVEN}/; cp /etc/ssl/everydayai/live/privkey.pem {GIVEN}/; "
        "systemctl reload nginx; sleep 1",
        {SHOWS},
    ),
    "a key that everybody reads": (f"chmod 644 {GIVEN}/privkey.pem", {COVERS}),
}


@pytest.mark.parametrize(("command", "checks"), BREAKS.values(), ids=BREAKS)
def test_every_break_is_seen_and_brought_back_by_one_apply(given: Stage, command: str, checks: set[str]) -> None:
    with given.broken(WEB, command):
        assert given.failing("nginx", WEB) == ELSEWHERE | checks
    assert given.failing("nginx", WEB) == ELSEWHERE
