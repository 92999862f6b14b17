"""The runbook's rules for environment variables, row by row."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mainstay.inventory.envvars import EnvVar
from mainstay.inventory.rules import faults
from mainstay.secrets.needed import needed_secrets
from tests.unit.inventories import Edit, copied, loaded, messages

KEY = "services.backend.env_vars."
ENDPOINT = "oss-cn-hangzhou.aliyuncs.com"
CASES: list[tuple[Edit, str]] = [
    (
        ("system.yaml", "REDIS_SSL: {type: bool, value: false", "REDIS_SSL: {type: bool, value: yes"),
        "REDIS_SSL.value: found 'yes', expected true or false",
    ),
    (
        ("system.yaml", "REDIS_PORT: {type: port, value: 6379", "REDIS_PORT: {type: port, value: 65536"),
        "REDIS_PORT.value: found the number 65536, expected a port between 1 and 65535",
    ),
    (
        ("system.yaml", "REDIS_DB: {type: int, value: 0", "REDIS_DB: {type: int, value: 16"),
        "REDIS_DB.value: found the number 16, expected at most 15",
    ),
    (
        ("system.yaml", "APP_DEBUG: {type: bool, value: false", "APP_DEBUG: {type: bool, value: true"),
        "APP_DEBUG.value: found true, expected false in production",
    ),
    (
        ("system.yaml", "APP_DEBUG: {type: bool, value: false", "APP_DEBUG: {type: bool, value: 'false'"),
        "APP_DEBUG.value: found 'false', expected true or false",
    ),
    (
        ("system.yaml", "APP_HOST: {type: ip, value: 127.0.0.1", "APP_HOST: {type: ip, value: localhost"),
        "APP_HOST.value: found 'localhost', expected an IP address",
    ),
    (
        (
            "system.yaml",
            "JWT_ALGORITHM: {type: enum, allowed: [HS256], value: HS256",
            "JWT_ALGORITHM: {type: enum, allowed: [HS256], value: none",
        ),
        "JWT_ALGORITHM.value: found 'none', expected one of HS256",
    ),
    (
        ("system.yaml", "value: 1440, min: 1", "value: 0, min: 1"),
        "JWT_ACCESS_TOKEN_EXPIRE_MINUTES.value: found the number 0, expected at least 1",
    ),
    (
        ("production.yaml", "https://everydayai.supabase.co", "https://everydayai.example.com"),
        "SUPABASE_URL.value: found 'https://everydayai.example.com', "
        r"expected text that matches https://[a-z0-9-]+\.supabase\.co",
    ),
    (
        ("production.yaml", "https://everydayai.supabase.co", "https://your-project.supabase.co"),
        "SUPABASE_URL.value: found 'https://your-project.supabase.co', "
        "expected a real value in production, no placeholder",
    ),
    (
        ("system.yaml", "https://api.kie.ai/v1", "http://api.kie.ai/v1"),
        "KIE_BASE_URL.value: found 'http://api.kie.ai/v1', expected an https URL without a slash at the end",
    ),
    (
        ("system.yaml", "https://api.kie.ai/v1", "https://api.kie.ai/v1/"),
        "KIE_BASE_URL.value: found 'https://api.kie.ai/v1/', expected an https URL without a slash at the end",
    ),
    (
        ("system.yaml", f"value: {ENDPOINT}", "value: oss-cn-beijing.aliyuncs.com"),
        "OSS_ENDPOINT.value: found 'oss-cn-beijing.aliyuncs.com', "
        "expected text that contains OSS_REGION, which is 'cn-hangzhou'",
    ),
    (
        ("production.yaml", "value: everydayai-production", "value: Everyday_AI"),
        "OSS_BUCKET_NAME.value: found 'Everyday_AI', "
        "expected a bucket name: 3 to 63 lower-case letters, digits, dots and hyphens",
    ),
    (
        ("production.yaml", "value: everydayai-production", "value: everydayai-staging"),
        "OSS_BUCKET_NAME.value: found 'everydayai-staging' in production and staging, "
        "expected a value of its own in each",
    ),
    (
        ("system.yaml", "value: everydayai_app, required", "value: postgres, required"),
        "PGUSER.value: found 'postgres', expected in production none of postgres",
    ),
    (
        ("system.yaml", "le: RATE_LIMIT_GLOBAL_TASKS", "le: RATE_LIMIT_GLOBAL"),
        "RATE_LIMIT_CONVERSATION_TASKS.le: found 'RATE_LIMIT_GLOBAL', expected a variable of backend",
    ),
    (
        ("system.yaml", "REDIS_HOST: {type: host, address_of: cache", "REDIS_HOST: {type: host, address_of: ml"),
        "REDIS_HOST.address_of: found the role 'ml', which no host of everydayai/production holds, "
        "expected a role that a host holds",
    ),
    (
        ("production.yaml", "      OSS_BUCKET_NAME: {value: everydayai-production} ", "      #"),
        "OSS_BUCKET_NAME: found no value, expected one in production.yaml or system.yaml: it is required",
    ),
]


@pytest.mark.covers("EV-03")
@pytest.mark.parametrize(("edit", "message"), CASES)
def test_a_value_that_breaks_its_rule(tmp_path: Path, edit: Edit, message: str) -> None:
    assert messages(copied(tmp_path, edit)) == [f"{KEY}{message}"]


@pytest.mark.covers("EV-04")
@pytest.mark.parametrize("name", ["REGISTER", "RESET_PWD", "BIND_PHONE"])
def test_sms_templates_and_sign_name(tmp_path: Path, name: str) -> None:
    number = {"REGISTER": 1, "RESET_PWD": 2, "BIND_PHONE": 3}[name]
    root = copied(
        tmp_path,
        ("production.yaml", f"value: SMS_20000000{number}", "value: SMS_<template-code>"),
        (
            "system.yaml",
            "ALIYUN_SMS_SIGN_NAME: {type: string, value: EverydayAI",
            "ALIYUN_SMS_SIGN_NAME: {type: string, value: ''",
        ),
    )
    assert messages(root) == [
        f"{KEY}ALIYUN_SMS_TEMPLATE_{name}.value: found 'SMS_<template-code>', expected text that matches SMS_\\d+",
        f"{KEY}ALIYUN_SMS_TEMPLATE_{name}.value: found 'SMS_<template-code>', expected a real value in production, "
        "no placeholder",
        f"{KEY}ALIYUN_SMS_SIGN_NAME.value: found '', expected a value that is not empty",
    ]
    assert list(faults(EnvVar(pattern=r"SMS_\d+"), "SMS_123456789", production=True)) == []


@pytest.mark.covers("EV-08")
def test_conversation_tasks_stay_below_global_ones(tmp_path: Path) -> None:
    edit = ("system.yaml", "CONVERSATION_TASKS: {type: int, value: 5", "CONVERSATION_TASKS: {type: int, value: 16")
    assert messages(copied(tmp_path / "16", edit)) == [
        f"{KEY}RATE_LIMIT_CONVERSATION_TASKS.value: found the number 16, "
        "expected at most RATE_LIMIT_GLOBAL_TASKS, which is 15"
    ]
    edit = ("system.yaml", "CONVERSATION_TASKS: {type: int, value: 5", "CONVERSATION_TASKS: {type: int, value: 5.5")
    assert messages(copied(tmp_path / "5.5", edit)) == [
        f"{KEY}RATE_LIMIT_CONVERSATION_TASKS.value: found the number 5.5, expected a whole number"
    ]


def test_debug_is_for_staging_only(tmp_path: Path) -> None:
    """EV-07: `APP_DEBUG: true` may stand in staging.yaml, and nowhere that production reads."""
    line = "services:\n  backend:\n    env_vars:\n      APP_DEBUG: {value: true}\n"
    root = copied(tmp_path, ("staging.yaml", "services:\n  backend:\n    env_vars:\n", line))
    assert messages(root, "staging") == []
    assert messages(root, "production") == []


@pytest.mark.covers("DP-06")
def test_a_secret_in_plain_text_is_refused_and_not_shown(tmp_path: Path) -> None:
    root = copied(tmp_path, ("system.yaml", "{secret: KIE_API_KEY", "{value: sk-live-123456"))
    found = messages(root)
    assert any("expected secret: KIE_API_KEY, and the value in the secret store" in message for message in found)
    assert "sk-live-123456" not in "\n".join(found)


def test_variables_of_the_backend(tmp_path: Path) -> None:
    env = loaded(copied(tmp_path))
    values = env.env_vars(env.services["backend"], env.hosts["eai-app-1"])
    assert values["APP_ENV"] == "production"
    assert values["APP_DEBUG"] == "false"
    assert values["PGHOST"] == "198.51.100.31"
    assert values["REDIS_HOST"] == "198.51.100.41"
    assert values["JWT_ACCESS_TOKEN_EXPIRE_MINUTES"] == "1440"
    assert values["JWT_SECRET_KEY"] == "<secret JWT_SECRET_KEY@1>"


TYPES = [
    ("string", ["text"], [1, True, "two\nlines", "nul\0"]),
    ("int", [1, -1], [True, 1.0, "1"]),
    ("float", [1, 1.5], [True, "1.5"]),
    (
        "url",
        ["https://a.b", "http://localhost:80/x"],
        ["http://a.b", "https://a.b/", "ftp://a", "https://", "https://a b"],
    ),
    ("dsn", ["postgresql://u@h/db"], ["h/db", "postgresql:///db"]),
    ("host", ["a.b", "192.0.2.1", "::1"], ["a_b", "-a", "https://a", ""]),
    ("bucket", ["a-b", "a.b"], ["ab", "A-b", "a..b", "-ab", "192.0.2.1", "a" * 64]),
    ("hex", ["00ff", "00FF"], ["0", "xyz", "", "00 ff"]),
    ("base64", ["AA==", "QUJD", "QUJD\n"], ["", "A", "AA=", "QUJD\nQUJD", "Q-_D", "=="]),
    ("duration", ["5s"], ["5", 5]),
    ("size", ["1G"], ["G", 5]),
]


@pytest.mark.parametrize(("type_", "good", "bad"), TYPES, ids=[case[0] for case in TYPES])
def test_types(type_: str, good: list[object], bad: list[object]) -> None:
    rule = EnvVar.model_validate({"type": type_})
    assert [value for value in good if list(faults(rule, value, production=True))] == []
    assert [value for value in bad if not list(faults(rule, value, production=True))] == []


@pytest.mark.parametrize(
    ("rule", "good", "bad", "expected"),
    [
        ({"type": "hex", "min_bytes": 2}, "00ff", "ff", "at least 2 bytes, as hex"),
        ({"type": "base64", "min_bytes": 4}, "QUJDRA==", "QUJD", "at least 4 bytes, as base64"),
        (
            {"forbidden_pattern": "--(prof|inspect)"},
            "--max-old-space-size=1",
            "--a --inspect=1",
            "in production text without --(prof|inspect)",
        ),
    ],
)
def test_rules_on_text(rule: dict[str, object], good: str, bad: str, expected: str) -> None:
    parsed = EnvVar.model_validate(rule)
    assert list(faults(parsed, good, production=True)) == []
    assert list(faults(parsed, bad, production=True)) == [expected]


def test_debugging_flags_may_stand_in_staging() -> None:
    assert list(faults(EnvVar(forbidden_pattern="--prof"), "--prof", production=False)) == []


@given(st.binary(min_size=1, max_size=200))
def test_bytes_are_counted_as_they_were_before_they_were_written_as_text(data: bytes) -> None:
    for type_, text in (("hex", data.hex()), ("base64", base64.b64encode(data).decode())):
        for count, expected in ((len(data), []), (len(data) + 1, [f"at least {len(data) + 1} bytes, as {type_}"])):
            rule = EnvVar.model_validate({"type": type_, "min_bytes": count})
            assert list(faults(rule, f"{text}\n", production=True)) == expected


@given(st.text())
def test_any_text_is_judged_by_every_type(text: str) -> None:
    for type_ in ("hex", "base64", "url", "dsn", "host", "ip", "bucket", "duration", "size"):
        assert len(list(faults(EnvVar.model_validate({"type": type_, "min_bytes": 1}), text, production=True))) >= 0


def test_bytes_of_what_is_no_bytes(tmp_path: Path) -> None:
    edit = (
        "system.yaml",
        "JWT_SECRET_KEY, required: true, min_len: 32",
        "JWT_SECRET_KEY, required: true, min_bytes: 32",
    )
    assert messages(copied(tmp_path, edit)) == [
        f"{KEY}JWT_SECRET_KEY.min_bytes: found min_bytes of a variable of type string, "
        "expected min_len, or the type hex or base64"
    ]


@pytest.mark.parametrize(("type_", "length"), [("hex", 128), ("base64", 88)])
def test_a_secret_is_made_in_the_form_that_its_variable_has(tmp_path: Path, type_: str, length: int) -> None:
    """SE-01, SE-02: hex of 32 bytes, base64 of 64 bytes, on one line (DF-62)."""
    rule = f"JWT_SECRET_KEY, type: {type_}, min_bytes: 64, required: true"
    env = loaded(copied(tmp_path, ("system.yaml", "JWT_SECRET_KEY, required: true, min_len: 32", rule)))
    (need,) = [need for need in needed_secrets(env) if need.name == "JWT_SECRET_KEY"]
    assert need.generator is not None
    made = need.generator.generate()
    assert len(made) == length
    assert list(faults(env.services["backend"].env_vars["JWT_SECRET_KEY"], made, production=True)) == []
