"""When a host makes a certificate of its own, and what is wrong with the one that it has."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from deploys.operations import certificates
from facts.certificates import Certificate, LiveCertificate, parse_certificate
from tests.plan.harness import plan
from tests.unit.inventories import copied, loaded

NOW = datetime(2026, 11, 22, tzinfo=UTC)


def test_a_certificate_is_made_only_where_none_does(tmp_path: Path) -> None:
    environment = loaded(copied(tmp_path))
    names = ["everydayai.test", "api.everydayai.test"]

    def commands(found: Certificate | None) -> list[str]:
        planned = plan(
            certificates.self_signed,
            "/etc/ssl/everydayai",
            names,
            environment=environment,
            member=environment.hosts["eai-web-1"],
            facts={LiveCertificate: lambda folder: found},
        )
        return planned.commands

    far = datetime.now(UTC) + timedelta(days=90)
    assert commands(Certificate(frozenset(names), far, key_fits=True)) == []
    made = ["/usr/local/lib/mainstay/self-signed r1 /etc/ssl/everydayai everydayai.test api.everydayai.test"]
    assert commands(None) == made
    assert commands(Certificate(frozenset(names), far, key_fits=False)) == made


@pytest.mark.parametrize(
    ("found", "fault"),
    [
        (None, "there is none"),
        (Certificate(frozenset({"a"}), NOW + timedelta(days=90), key_fits=True), "it lacks b"),
        (Certificate(frozenset({"a", "b"}), NOW + timedelta(days=29), key_fits=True), "it ends on 2026-12-21"),
        (Certificate(frozenset("ab"), NOW + timedelta(days=31), key_fits=False), "its key is missing or another one's"),
        (Certificate(frozenset("ab"), NOW, key_fits=True, key_private=False), "others than root could read its key"),
        (Certificate(frozenset({"a", "b", "c"}), NOW + timedelta(days=31), key_fits=True), ""),
    ],
)
def test_what_is_wrong_with_a_certificate(found: Certificate | None, fault: str) -> None:
    assert certificates.fault_of(found, ["a", "b"], NOW) == fault


def test_reads_what_openssl_says() -> None:
    end = datetime(2027, 12, 24, 10, tzinfo=UTC)
    lines = ["notAfter=Dec 24 10:00:00 2027 GMT", "X509v3 Subject Alternative Name: ", "    DNS:a.test, DNS:b.test"]
    begins, ends = "-----BEGIN PUBLIC KEY-----", "-----END PUBLIC KEY-----"
    key, other = [begins, "one", ends], [begins, "two", ends]
    names = frozenset({"a.test", "b.test"})
    assert parse_certificate([*lines, *key, "key", *key, "key private"]) == Certificate(names, end, True, True)
    for rest in ([*key, "key", *other], [*key, "key"], ["key", *key], ["key"], [*key, *key], [*key, "key", begins]):
        assert parse_certificate([*lines, *rest]) == Certificate(names, end, False, False), rest
    assert parse_certificate(["noise"]) is None
