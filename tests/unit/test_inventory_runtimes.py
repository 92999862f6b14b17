"""Settings of Go, Node and Python that follow from an instance's limits, and what the inventory may say instead."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mainstay.inventory import Service
from mainstay.inventory.fields import parse_size
from mainstay.inventory.runtimes import derived, faults
from tests.unit.inventories import copied, loaded, messages

KEY = "services.backend.env_vars."


def _service(
    kind: str, memory: str | int = "512M", quota: int | None = 200, workers: int = 1, run: str = ""
) -> Service:
    return Service.model_validate(
        {
            "kind": kind,
            "port": 8000,
            "slots": {"blue": 18000, "green": 28000},
            "exec": f"bin/server {{port}} {run}",
            "workers": workers,
            "limits": {"memory_max": memory, "cpu_quota_pct": quota},
            "health": [{"path": "/health"}],
        }
    )


@pytest.mark.parametrize(
    ("service", "cores", "expected"),
    [
        (_service("go"), 4, {"GOMAXPROCS": "2", "GOMEMLIMIT": "460MiB"}),
        (_service("go", "2G", 100), 4, {"GOMAXPROCS": "1", "GOMEMLIMIT": "1843MiB"}),
        (_service("go", quota=50), 4, {"GOMAXPROCS": "1", "GOMEMLIMIT": "460MiB"}),
        (_service("go", quota=150), 4, {"GOMAXPROCS": "2", "GOMEMLIMIT": "460MiB"}),
        (_service("go", quota=800), 4, {"GOMAXPROCS": "4", "GOMEMLIMIT": "460MiB"}),
        (_service("go", quota=None), 3, {"GOMAXPROCS": "3", "GOMEMLIMIT": "460MiB"}),
        (
            _service("node"),
            4,
            {"NODE_ENV": "production", "NODE_OPTIONS": "--max-old-space-size=384", "UV_THREADPOOL_SIZE": "8"},
        ),
        (
            _service("node", workers=2, quota=100),
            4,
            {"NODE_ENV": "production", "NODE_OPTIONS": "--max-old-space-size=192", "UV_THREADPOOL_SIZE": "4"},
        ),
        (_service("python", workers=3), 4, {"WEB_CONCURRENCY": "3"}),
        (_service("python", workers=3, run="--workers {workers}"), 4, {}),
        (Service.model_validate({"kind": "static"}), 4, {}),
    ],
)
def test_settings_follow_from_the_limits(service: Service, cores: int, expected: dict[str, str]) -> None:
    assert derived(service, cores) == expected


@pytest.mark.parametrize(
    ("kind", "name", "value", "expected"),
    [
        ("go", "GOMAXPROCS", 3, "a whole number from 1 to 2, the cores that limits.cpu_quota_pct and the host give"),
        ("go", "GOMAXPROCS", 0, "a whole number from 1 to 2"),
        ("go", "GOMAXPROCS", "two", "a whole number from 1 to 2"),
        ("go", "GOMEMLIMIT", "461MiB", "at most 460MiB (90 percent of limits.memory_max)"),
        ("go", "GOMEMLIMIT", "1GB", "a size in Go's own units, at most 460MiB"),
        ("go", "GOMEMLIMIT", "off", "a size in Go's own units"),
        ("go", "GODEBUG", "gctrace=1", "no such variable in production"),
        ("node", "NODE_ENV", "development", "production, in staging too"),
        ("node", "NODE_OPTIONS", "--enable-source-maps", "--max-old-space-size among them, from 1 to 384"),
        ("node", "NODE_OPTIONS", "--max-old-space-size=385", "--max-old-space-size among them, from 1 to 384"),
        ("node", "NODE_OPTIONS", "--max-old-space-size=99 --inspect=0.0.0.0", "no --inspect in production"),
        ("node", "NODE_OPTIONS", "--max-old-space-size=99 --inspect-brk", "no --inspect-brk in production"),
        ("node", "NODE_OPTIONS", "--max-old-space-size=99 --prof", "no --prof in production"),
        ("node", "NODE_OPTIONS", "--max-old-space-size=99 --expose-gc", "no --expose-gc in production"),
        ("node", "NODE_OPTIONS", "--max-old-space-size=99 --trace_gc", "no --trace_gc in production"),
        ("node", "UV_THREADPOOL_SIZE", 9, "a whole number from 1 to 8, 4 for each core"),
        ("python", "WEB_CONCURRENCY", 2, "a whole number from 1 to 1, the service's workers"),
        ("python", "FLASK_DEBUG", "1", "0 in production"),
        ("python", "FLASK_DEBUG", True, "0 in production"),
        ("python", "FLASK_ENV", "development", "another value in production"),
    ],
)
def test_what_the_inventory_says_instead_stays_below_the_limit(
    kind: str, name: str, value: object, expected: str
) -> None:
    (found,) = faults(_service(kind), name, value, [4, 8], production=True)
    assert expected in found


@pytest.mark.parametrize(
    ("kind", "name", "value"),
    [
        ("go", "GOMAXPROCS", 2),
        ("go", "GOMEMLIMIT", "460MiB"),
        ("go", "GOMEMLIMIT", "1048576"),
        ("go", "GOGC", 50),
        ("node", "NODE_ENV", "production"),
        ("node", "NODE_OPTIONS", "--enable-source-maps --max-old-space-size=384"),
        ("python", "FLASK_DEBUG", "0"),
        ("python", "FLASK_ENV", "production"),
        ("python", "GODEBUG", "gctrace=1"),
    ],
)
def test_values_within_the_limit_are_taken(kind: str, name: str, value: object) -> None:
    assert list(faults(_service(kind), name, value, [4], production=True)) == []


@pytest.mark.parametrize(
    ("kind", "name", "value"),
    [
        ("go", "GODEBUG", "gctrace=1"),
        ("node", "NODE_OPTIONS", "--max-old-space-size=9 --inspect"),
        ("python", "FLASK_DEBUG", "1"),
    ],
)
def test_what_is_for_debugging_may_stand_in_staging(kind: str, name: str, value: str) -> None:
    assert list(faults(_service(kind), name, value, [4], production=False)) == []


@given(
    memory=st.integers(1, 2**50),
    quota=st.none() | st.integers(1, 25600),
    workers=st.integers(1, 256),
    cores=st.integers(1, 1024),
    kind=st.sampled_from(["go", "node", "python"]),
)
def test_what_is_derived_is_always_taken(memory: int, quota: int | None, workers: int, cores: int, kind: str) -> None:
    """And never more than the limit that it follows from, down to the smallest that there can be."""
    service = _service(kind, memory, quota, workers)
    values = derived(service, cores)
    for name, value in values.items():
        assert list(faults(service, name, value, [cores], production=True)) == []
    if kind == "go":
        assert 1 <= int(values["GOMAXPROCS"]) <= cores
        assert parse_size(values["GOMEMLIMIT"]) <= max(1024**2, memory)
    if kind == "node":
        assert int(values["NODE_OPTIONS"].rpartition("=")[2]) * workers * 1024**2 <= max(workers * 1024**2, memory)


@given(
    name=st.sampled_from(["GOMAXPROCS", "GOMEMLIMIT", "NODE_OPTIONS", "UV_THREADPOOL_SIZE"]),
    value=st.text() | st.integers(),
)
def test_any_text_is_judged(name: str, value: str | int) -> None:
    for kind in ("go", "node"):
        assert all(isinstance(said, str) for said in faults(_service(kind), name, value, [2], production=True))


def test_the_inventory_names_the_variable(tmp_path: Path) -> None:
    edit = ("system.yaml", "      APP_ENV: ", "      GOMAXPROCS: {type: int, value: 3}\n      APP_ENV: ")
    root = copied(tmp_path, edit, ("system.yaml", "kind: python", "kind: go"))
    assert messages(root) == [
        f"{KEY}GOMAXPROCS.value: found the number 3, expected a whole number from 1 to 2, "
        "the cores that limits.cpu_quota_pct and the host give an instance"
    ]


def test_a_required_variable_may_follow_from_the_limits(tmp_path: Path) -> None:
    edit = ("system.yaml", "      APP_ENV: ", "      GOMEMLIMIT: {type: size, required: true}\n      APP_ENV: ")
    env = loaded(copied(tmp_path, edit, ("system.yaml", "kind: python", "kind: go")))
    assert env.env_vars(env.services["backend"], env.hosts["eai-app-1"])["GOMEMLIMIT"] == "460MiB"


def test_a_quota_above_the_hosts_cores(tmp_path: Path) -> None:
    edit = ("system.yaml", "cpu_quota_pct: 200", "cpu_quota_pct: 500")
    assert messages(copied(tmp_path, edit)) == [
        "services.backend.limits.cpu_quota_pct: found 500, more than the 4 cores of eai-app-1, expected 400 at most"
    ]
