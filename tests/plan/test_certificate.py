"""A certificate that the inventory gives: refused offline where it does not do, rendered with its key's placeholder."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deploys.components.nginx import certificate
from deploys.components.nginx.files import files
from deploys.operations.internal_ca import Issued, issue
from mainstay.inventory.stores import secrets_file
from mainstay.secrets import SecretStore
from mainstay.secrets.identity import create_identity
from mainstay.secrets.needed import needed_secrets
from tests.unit.inventories import SYSTEM, Edit, copied, loaded, messages

NAMES = ["everydayai.test", "api.everydayai.test"]
FILE = "inventories/everydayai/tls/site.pem"
KEY = ("nginx", "tls", "certificate")
ISSUED: Edit = ("system.yaml", "    - KIE_API_KEY", "    - KIE_API_KEY\n    - SITE_KEY")
GIVEN: Edit = (
    "production.yaml",
    "\nhosts:",
    "\nnginx: {tls: {certificate: tls/site.pem, key: SITE_KEY}}\n\nhosts:",
)


def made(names: list[str], now: datetime | None = None) -> Issued:
    return issue("a seed of a test", "test", names, now or datetime.now(UTC))


def project(folder: Path, pem: str | None, *edits: Edit) -> Path:
    """The shipped system, its production with this certificate."""
    root = copied(folder, GIVEN, ISSUED, *edits)
    if pem is not None:
        (root / FILE).parent.mkdir()
        (root / FILE).write_text(pem)
    return root


def test_one_for_the_sites_is_taken_and_its_key_is_a_placeholder(tmp_path: Path) -> None:
    pem = made(NAMES).certificate
    env = loaded(project(tmp_path, pem))
    found = {managed.path: managed for managed in files(env, env.hosts["eai-web-1"])}
    assert found["/etc/ssl/everydayai/given/fullchain.pem"].content == pem
    key = found["/etc/ssl/everydayai/given/privkey.pem"]
    assert (key.content, key.owner, key.mode) == ("<secret SITE_KEY@1>\n", "root", 0o600)
    assert "ssl_certificate /etc/ssl/everydayai/given/fullchain.pem;" in found["/etc/nginx/snippets/tls.conf"].content
    assert not [path for path in (m.path for m in files(env, env.hosts["eai-app-1"])) if "ssl" in path]


def test_the_other_environment_goes_on_signing_its_own(tmp_path: Path) -> None:
    env = loaded(project(tmp_path, made(NAMES).certificate), "staging")
    tls = next(m for m in files(env, env.hosts["eai-stg-web-1"]) if m.path.endswith("/tls.conf"))
    assert "ssl_certificate /etc/ssl/everydayai/live/fullchain.pem;" in tls.content


def test_one_for_another_name_is_refused_with_both(tmp_path: Path) -> None:
    root = project(tmp_path, made(["www.everydayai.test", "everydayai.test"]).certificate)
    assert messages(root) == [
        f"nginx.tls.certificate: found {FILE}: a certificate for www.everydayai.test, everydayai.test, "
        "expected one for everydayai.test, api.everydayai.test"
    ]


AGO = datetime.now(UTC) - timedelta(days=900)
AHEAD = datetime.now(UTC) + timedelta(days=9)
FAULTS = {
    "no file": (None, f"{FILE}: no file that can be read, expected {certificate.PEM}"),
    "no certificate": ("nothing\n", f"{FILE}: no certificate, expected {certificate.PEM}"),
    "ended": (
        made(NAMES, AGO).certificate,
        f"{FILE}: a certificate that ended on {AGO + timedelta(days=825):%Y-%m-%d}, expected one that is valid",
    ),
    "not begun": (
        made(NAMES, AHEAD).certificate,
        f"{FILE}: a certificate that begins on {AHEAD - timedelta(days=1):%Y-%m-%d}, expected one that is valid",
    ),
    "a chain of others": (
        made(NAMES).certificate + issue("another seed", "other", NAMES, datetime.now(UTC)).authority,
        f"{FILE}: certificate 2, which did not sign the one before it, expected {certificate.PEM}",
    ),
}


@pytest.mark.parametrize(("pem", "message"), FAULTS.values(), ids=FAULTS)
def test_each_fault_is_one_sentence(tmp_path: Path, pem: str | None, message: str) -> None:
    assert messages(project(tmp_path, pem)) == [f"nginx.tls.certificate: found {message}"]


def test_a_chain_in_its_order_is_taken(tmp_path: Path) -> None:
    issued = made(NAMES)
    assert messages(project(tmp_path, issued.certificate + issued.authority)) == []


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (
            ("production.yaml", ", key: SITE_KEY", ""),
            "nginx.tls.certificate: found tls/site.pem without its key, "
            "expected nginx.tls.key, the name of a secret, too",
        ),
        (
            ("production.yaml", "certificate: tls/site.pem, ", ""),
            "nginx.tls.key: found SITE_KEY without a certificate, expected nginx.tls.certificate too",
        ),
        (
            ("system.yaml", "\n    - SITE_KEY", ""),
            "nginx.tls.key: found SITE_KEY, which `mainstay secrets generate` would make at random, "
            "expected a name of secrets.issued: it comes with the certificate",
        ),
        (
            ("production.yaml", "tls/site.pem", "../site.pem"),
            "nginx.tls.certificate: found '../site.pem', "
            "expected a path below the folder of system.yaml, such as certificates/production.pem",
        ),
    ],
)
def test_half_a_certificate_is_refused(tmp_path: Path, edit: Edit, message: str) -> None:
    assert message in messages(project(tmp_path, made(NAMES).certificate, edit))


def test_a_key_of_another_certificate_is_refused_and_not_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    identity = tmp_path / "identity.txt"
    monkeypatch.setenv("MAINSTAY_AGE_IDENTITY", str(identity))
    create_identity(identity)
    issued, other = made(NAMES), made(NAMES)
    root = project(tmp_path / "project", issued.certificate)
    store = SecretStore.open(secrets_file(root, SYSTEM, "production"))
    needed = needed_secrets(loaded(root))
    store.update({need.name: need.stand_in.generate() for need in needed} | {"SITE_KEY": other.key})
    expected = "expected the key of nginx.tls.certificate, in PEM"
    found = f"nginx.tls.key: found a secret SITE_KEY that is the key of another certificate, {expected}"
    assert messages(root) == [found]
    store.set("SITE_KEY", "no key at all, and long enough")
    assert messages(root) == [f"nginx.tls.key: found a secret SITE_KEY that is no private key, {expected}"]
    store.set("SITE_KEY", issued.key)
    assert messages(root) == []


@pytest.mark.parametrize(
    ("names", "own", "uncovered"),
    [
        (["a.test"], ["a.test"], []),
        (["a.test"], ["A.Test"], []),
        (["www.a.test", "a.test"], ["*.a.test"], ["a.test"]),
        (["x.www.a.test"], ["*.a.test"], ["x.www.a.test"]),
        (["a.test", "b.test"], [], ["a.test", "b.test"]),
    ],
)
def test_a_star_stands_for_one_label(names: list[str], own: list[str], uncovered: list[str]) -> None:
    assert certificate.uncovered(names, own) == uncovered


@given(st.text())
def test_whatever_the_file_holds_is_a_sentence(text: str) -> None:
    assert certificate.fault_of(text, NAMES, datetime.now(UTC)) == ("no certificate", certificate.PEM)
