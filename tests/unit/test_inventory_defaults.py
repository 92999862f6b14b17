"""`service_defaults`: said once, laid under every service with processes, and named where a value of it is wrong."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mainstay.change import change
from mainstay.inventory.service_defaults import spread
from tests.unit.inventories import Edit, copied, loaded, messages, problems

DEFAULTS = """service_defaults:
  kind: go
  step: 100
  instances: {base: 1, min: 1, max: 2}
  exec: bin/server --port {port}
  limits: {memory_max: 256M, cpu_quota_pct: 100}
  health: [{path: /health}]
  env_vars:
    LOG_LEVEL: {type: enum, allowed: [INFO, DEBUG], value: INFO}

services:
  auth: {port: 8081, slots: {blue: 18081, green: 28081}}
  payment:
    port: 8083
    slots: {blue: 18083, green: 28083}
    step: 7
    limits: {memory_max: 512M}
    env_vars: {LOG_LEVEL: {value: DEBUG}, EXTRA: {value: x}}

"""
SHARED: Edit = ("system.yaml", "services:\n", DEFAULTS.replace("services:\n  auth", "services:\n  auth"))


def _with(folder: Path, *edits: Edit) -> Path:
    return copied(folder, SHARED, *edits)


def test_own_keys_win_over_what_is_shared(tmp_path: Path) -> None:
    env = loaded(_with(tmp_path))
    auth, payment = env.services["auth"], env.services["payment"]
    assert (auth.kind, auth.step, auth.ports_of("blue", 2)) == ("go", 100, [18081, 18181])
    assert (payment.kind, payment.step, payment.ports_of("blue", 2)) == ("go", 7, [18083, 18090])
    assert auth.limits is not None
    assert payment.limits is not None
    assert (payment.limits.memory_max, payment.limits.cpu_quota_pct) == (512 * 1024**2, 100)
    host = env.hosts["eai-app-1"]
    assert env.env_vars(auth, host)["LOG_LEVEL"] == "INFO"
    assert {"LOG_LEVEL": "DEBUG", "EXTRA": "x"}.items() <= env.env_vars(payment, host).items()


def test_static_services_share_nothing(tmp_path: Path) -> None:
    env = loaded(_with(tmp_path))
    assert env.services["frontend"].port is None
    assert env.services["frontend"].env_vars == {}


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (
            ("system.yaml", "  kind: go\n", "  kind: rust\n"),
            "service_defaults.kind: found 'rust', expected 'python', 'go', 'node' or 'static'",
        ),
        (
            ("system.yaml", "  step: 100\n", "  step: 0\n"),
            "service_defaults.step: found the number 0, expected at least 1",
        ),
        (
            ("system.yaml", "  step: 100\n", "  stap: 100\n"),
            "service_defaults.stap: found an unknown key, expected step",
        ),
        (
            ("system.yaml", "[INFO, DEBUG], value: INFO", "[INFO, DEBUG], value: TRACE"),
            "service_defaults.env_vars.LOG_LEVEL.value: found 'TRACE', expected one of INFO, DEBUG",
        ),
        (
            ("system.yaml", "memory_max: 512M}\n    env", "memory_max: lots}\n    env"),
            "services.payment.limits.memory_max: found 'lots', expected a size such as 512mb or 2G",
        ),
        (
            ("system.yaml", "  auth: {port: 8081, ", "  auth: {"),
            "services.auth: found no port, expected a go service to have port, slots, exec and limits",
        ),
        (
            ("system.yaml", "{base: 1, min: 1, max: 2}\n  exec: bin", "{base: 1, min: 2, max: 2}\n  exec: bin"),
            "service_defaults.instances: found min 2, base 1, max 2, expected min <= base <= max",
        ),
        (
            ("production.yaml", "services:\n", "service_defaults: {step: 5}\n\nservices:\n"),
            "service_defaults.step: found a value of this environment, expected it in system.yaml only: "
            "it is not per_env",
        ),
    ],
)
def test_a_fault_is_told_once_and_where_it_stands(tmp_path: Path, edit: Edit, message: str) -> None:
    found = messages(_with(tmp_path, edit))
    assert found == [message]


def test_the_file_and_line_are_those_of_the_shared_value(tmp_path: Path) -> None:
    root = _with(tmp_path, ("system.yaml", "memory_max: 256M", "memory_max: much"))
    text = (root / "inventories/everydayai/system.yaml").read_text()
    line = text[: text.index("memory_max: much")].count("\n") + 1
    (problem,) = problems(root)
    assert (problem.file, problem.key) == (
        f"inventories/everydayai/system.yaml:{line}",
        "service_defaults.limits.memory_max",
    )


def test_an_environment_sets_what_services_share_and_the_change_stays(tmp_path: Path) -> None:
    plain = loaded(_with(tmp_path / "plain"))
    own = (
        "service_defaults: {limits: {memory_max: 300M}}\n\nservices:\n  auth: {env_vars: {LOG_LEVEL: {value: DEBUG}}}\n"
    )
    env = loaded(_with(tmp_path / "own", ("production.yaml", "services:\n", own)))
    assert env.services["auth"].limits is not None
    assert env.services["auth"].limits.memory_max == 300 * 1024**2
    assert env.env_vars(env.services["auth"], env.hosts["eai-app-1"])["LOG_LEVEL"] == "DEBUG"
    assert change(env).digest == change(plain).digest


def test_what_is_shared_is_part_of_the_change(tmp_path: Path) -> None:
    one = loaded(_with(tmp_path / "one"))
    two = loaded(_with(tmp_path / "two", ("system.yaml", "memory_max: 256M", "memory_max: 257M")))
    assert change(one).digest != change(two).digest


def test_values_that_must_differ_are_compared_where_both_environments_share_them(tmp_path: Path) -> None:
    bucket = (
        "system.yaml",
        "    LOG_LEVEL: {type",
        "    BUCKET: {type: bucket, differs_between: [staging, production]}\n    LOG_LEVEL: {type",
    )
    own = "service_defaults: {env_vars: {BUCKET: {value: the-same}}}\n\nservices:\n"
    root = _with(tmp_path, bucket, *((f"{env}.yaml", "services:\n", own) for env in ("staging", "production")))
    assert messages(root) == [
        "service_defaults.env_vars.BUCKET.value: found 'the-same' in production and staging, "
        "expected a value of its own in each"
    ]


def test_two_services_on_one_port(tmp_path: Path) -> None:
    root = _with(tmp_path, ("system.yaml", "port: 8083\n", "port: 8081\n"))
    (message,) = messages(root)
    assert message.startswith(
        "services.payment.port: found port 8081 for nginx for payment, which nginx for auth has on"
    )


VALUES: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda below: st.lists(below, max_size=3) | st.dictionaries(st.text(max_size=5), below, max_size=3),
    max_leaves=8,
)
KEYS = st.sampled_from(["kind", "port", "limits", "env_vars"])


@given(
    defaults=VALUES | st.dictionaries(KEYS, VALUES),
    services=VALUES | st.dictionaries(st.text(max_size=5), VALUES | st.dictionaries(KEYS, VALUES)),
)
def test_nothing_of_a_service_is_lost(defaults: Any, services: Any) -> None:
    """Whatever stands there: own scalars stay, the services stay the same ones, doing it twice changes nothing."""
    data = {"service_defaults": defaults, "services": services}
    found = spread(data)
    assert spread(found) == found
    if isinstance(services, dict):
        assert found["services"].keys() == services.keys()
        for name, own in services.items():
            for key, value in own.items() if isinstance(own, dict) else ():
                if not isinstance(value, dict):
                    assert found["services"][name][key] is value
