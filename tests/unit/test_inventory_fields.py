"""Sizes, durations, names; merging; services' ports."""

from __future__ import annotations

from pathlib import Path

import pytest

from mainstay.inventory.checks import unused, unused_services
from mainstay.inventory.fields import format_size, parse_duration, parse_size
from mainstay.inventory.overrides import merge
from tests.unit.inventories import copied, loaded

MIB = 1024**2


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("512mb", 512 * MIB),
        ("512M", 512 * MIB),
        ("512 MiB", 512 * MIB),
        ("2G", 2048 * MIB),
        ("64kB", 65536),
        (4096, 4096),
    ],
)
def test_sizes(text: object, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize("value", ["", "M", "1.5G", "-1M", "0M", 0, -5, True, 1.0, None, "1X", "9" * 13, "2000T", [1]])
def test_what_is_no_size(value: object) -> None:
    with pytest.raises(ValueError, match="a size such as"):
        parse_size(value)


def test_sizes_as_people_write_them() -> None:
    assert [format_size(size) for size in (1, 1024, 1536, 512 * MIB, 2048 * MIB)] == ["1", "1K", "1536", "512M", "2G"]


@pytest.mark.parametrize(
    ("text", "seconds"), [("250ms", 0.25), ("90s", 90), ("5m", 300), ("1.5h", 5400), ("7d", 604800), ("0s", 0)]
)
def test_durations(text: str, seconds: float) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize("value", ["5", 5, "5 minutes", "-5s", "s", "", None, True, "1e3s"])
def test_what_is_no_duration(value: object) -> None:
    with pytest.raises(ValueError, match="a duration with its unit"):
        parse_duration(value)


def test_merging_replaces_all_but_mappings() -> None:
    shared = {"a": {"b": 1, "c": [1, 2]}, "d": 1, "e": {"f": 1}}
    own = {"a": {"c": [3]}, "e": 5, "g": {"h": 1}}
    assert merge(shared, own) == {"a": {"b": 1, "c": [3]}, "d": 1, "e": 5, "g": {"h": 1}}
    assert shared["a"] == {"b": 1, "c": [1, 2]}


def test_ports_of_slots_follow_the_step(tmp_path: Path) -> None:
    root = copied(
        tmp_path,
        ("system.yaml", "    step: 1 ", "    step: 10 "),
        ("system.yaml", "{base: 1, min: 1, max: 2}", "{base: 2, min: 1, max: 3}"),
        ("system.yaml", "pool: 2 ", "pool: 1 "),
    )
    env = loaded(root)
    backend, frontend = env.services["backend"], env.services["frontend"]
    assert backend.ports("blue") == [18000, 18010]
    assert backend.ports_of("green", 3) == [28000, 28010, 28020]
    assert backend.peak_instances == 4, "both slots run while a release switches"
    assert frontend.ports("blue") == []
    assert backend.command("%i") == "venv/bin/uvicorn main:app --host 127.0.0.1 --port %i --workers 4"


def test_the_shipped_environments(tmp_path: Path) -> None:
    root = copied(tmp_path)
    production, staging = loaded(root), loaded(root, "staging")
    assert list(production.hosts) == [
        "eai-web-1", "eai-web-2", "eai-app-1", "eai-app-2", "eai-app-3", "eai-db-1", "eai-cache-1", "eai-mon-1"
    ]  # fmt: skip
    assert [len(host.roles) for host in staging.hosts.values()] == [1] * 5
    roles = {role for host in staging.hosts.values() for role in host.roles}
    assert roles == {"web", "app", "db", "cache", "monitoring"}
    assert [host.name for host in production.hosts_of("app")] == ["eai-app-1", "eai-app-2", "eai-app-3"]
    assert production.hosts["eai-db-1"].memory == 8192 * MIB
    assert production.api_domain == "api.everydayai.test"
    assert production.user_of(production.services["backend"]) == "everydayai"
    assert staging.user_of(staging.services["frontend"]) == "everydayai-frontend"


def test_who_listens_where(tmp_path: Path) -> None:
    env = loaded(copied(tmp_path))
    found = {(one.port, one.scope, one.from_roles) for one in env.listeners(env.hosts["eai-app-1"])}
    assert found >= {(22, "public", ()), (18000, "loopback", ()), (28001, "loopback", ())}
    (canonical,) = [who for port, scope, who in found if (port, scope) == (8000, "private")]
    assert set(canonical) == {"web", "monitoring"}
    (database,) = [one for one in env.listeners(env.hosts["eai-db-1"]) if one.port == 5432]
    assert (database.scope, database.from_roles) == ("private", ("app",))


def test_what_nothing_uses(tmp_path: Path) -> None:
    extra = "services:\n  idle: {kind: static, role: web}\n"
    root = copied(
        tmp_path,
        ("system.yaml", "services:\n", extra),
        ("production.yaml", "roles: [cache]", "roles: [cache, scylla]"),
    )
    env = loaded(root)
    assert [problem.key for problem in unused(env)] == ["hosts.eai-cache-1.roles"]
    assert unused_services(env) == ["everydayai: no component and no variable makes use of the service idle"]
    assert unused(loaded(root, "staging")) == []
