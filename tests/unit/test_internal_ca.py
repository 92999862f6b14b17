"""The internal CA: one secret, one key; certificates that hold for their names and for nothing else."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from cryptography.hazmat.primitives import serialization
from hypothesis import given
from hypothesis import strategies as st

from deploys.operations.internal_ca import LIFE, RENEW_BEFORE, authority_key, fault_of, issue
from facts.internal_ca import TlsFiles, parse_tls

NOW = datetime(2026, 11, 26, 12, 0, tzinfo=UTC)
NAMES = ["db-1", "192.0.2.31", "2001:db8::1"]
SEED = "seed-0123456789-0123456789-0123456789-01234"


def standing(seed: str = SEED, names: list[str] = NAMES, now: datetime = NOW) -> TlsFiles:
    """What is on a host after a certificate was issued."""
    issued = issue(seed, "shop/staging", names, now)
    return TlsFiles(issued.authority, issued.certificate, key_fits=True, key_mode="root postgres 640")


@given(st.text(min_size=1, max_size=64))
def test_a_secret_is_always_the_same_key_and_another_secret_another(seed: str) -> None:
    def public(text: str) -> bytes:
        form = serialization.PublicFormat.SubjectPublicKeyInfo
        return authority_key(text).public_key().public_bytes(serialization.Encoding.DER, form)

    assert public(seed) == public(seed) != public(f"{seed}.")


def test_the_key_of_a_secret_does_not_change_with_the_libraries() -> None:
    """Else a new version of Mainstay would give every host another CA."""
    number = authority_key(SEED).private_numbers().private_value
    assert f"{number:064x}" == "583c2883ccd7768e04cd2a7cb76182ef46c02cda02ac70a36fee7a4efde08417"


def test_a_certificate_that_is_right_is_left_alone() -> None:
    assert fault_of(standing(), SEED, NAMES, NOW) == ""
    assert fault_of(standing(), SEED, NAMES[:1], NOW + LIFE - RENEW_BEFORE - timedelta(minutes=1)) == ""


@pytest.mark.parametrize(
    ("found", "names", "now", "fault"),
    [
        (TlsFiles(), NAMES, NOW, "there is none"),
        (TlsFiles("-----BEGIN CERTIFICATE-----", "x"), NAMES, NOW, "there is none"),
        (standing("another"), NAMES, NOW, "it is another CA's"),
        (replace(standing(), certificate=standing("another").certificate), NAMES, NOW, "it is another CA's"),
        (standing(names=["db-2"]), NAMES, NOW, "it lacks db-1, 192.0.2.31, 2001:db8::1"),
        (standing(), ["db-1", "192.0.2.32"], NOW, "it lacks 192.0.2.32"),
        (standing(), NAMES, NOW + LIFE - RENEW_BEFORE + timedelta(minutes=1), "it ends on 2029-02-28"),
        (replace(standing(), key_fits=False), NAMES, NOW, "its key is missing or another one's"),
        (
            replace(standing(), key_mode="root root 644"),
            NAMES,
            NOW,
            "others than PostgreSQL could read its key",
        ),
    ],
)
def test_what_is_wrong_with_it_is_said(found: TlsFiles, names: list[str], now: datetime, fault: str) -> None:
    assert fault_of(found, SEED, names, now) == fault


def test_what_a_host_answers_is_read() -> None:
    issued = issue(SEED, "shop/staging", NAMES, NOW)
    lines = [*issued.authority.splitlines(), "authority", *issued.certificate.splitlines(), "certificate", "key fits"]
    assert parse_tls([*lines, "mode root postgres 640"]) == TlsFiles(
        issued.authority, issued.certificate, True, "root postgres 640"
    )
    assert parse_tls(["authority", "certificate", "mode "]) == TlsFiles()
    assert parse_tls([]) == TlsFiles()


@given(st.lists(st.text(max_size=20), max_size=6))
def test_any_answer_is_read(lines: list[str]) -> None:
    assert fault_of(parse_tls(lines), SEED, NAMES, NOW) == "there is none"
