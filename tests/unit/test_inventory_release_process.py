"""How a version gets out: each rule of `release`, `admin_api`, `checklists` and `legacy_names`."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.inventories import Edit, copied, loaded, messages


def section(text: str) -> Edit:
    """A section before `oncall`."""
    return ("system.yaml", "oncall:", f"{text}\n\noncall:")


CALL = "calls: {cache_warm: {method: POST, path: /api/v1/admin/cache/warm, body: {patterns: ['users:*']}}}"
CASES: dict[str, tuple[Edit, str]] = {
    "order of what is not there": (
        section("release: {order: [backend, ml]}"),
        "release.order[1]: found 'ml', expected one of frontend, backend",
    ),
    "order with a service twice": (
        section("release: {order: [backend, frontend, backend]}"),
        "release.order[2]: found 'backend' again, expected each once",
    ),
    "a canary without numbers": (
        section("release: {strategy: canary}"),
        "release.canary: found nothing, expected pct, watch and the rest, which the strategy canary needs",
    ),
    "a canary that is asked once": (
        section("release: {canary: {watch: 30s, poll: 30s}}"),
        "release.canary.poll: found 30 s, while it is watched for 30 s, expected a shorter time",
    ),
    "a canary of everything": (
        section("release: {canary: {pct: 100}}"),
        "release.canary.pct: found the number 100, expected at most 50",
    ),
    "a step that is none": (
        section("release: {pipeline: [backup, monitor], hotfix: {branch: hotfix/x, may_skip: [tests]}}"),
        "release.hotfix.may_skip[0]: found 'tests', expected a step of release.pipeline: backup, monitor",
    ),
    "skipped and never skipped": (
        section(
            "release: {pipeline: [backup, monitor], "
            "hotfix: {branch: hotfix/x, may_skip: [backup], never_skip: [backup]}}"
        ),
        "release.hotfix.may_skip[0]: found 'backup', which never_skip names too, expected a step in one of the two",
    ),
    "a step twice": (
        section("release: {pipeline: [backup, backup]}"),
        "release.pipeline[1]: found 'backup' again, expected each once",
    ),
    "asked of no service": (
        section(f"admin_api:\n  api: {{token: JWT_SECRET_KEY, {CALL}}}"),
        "admin_api.api: found 'api', expected a service that listens on a port",
    ),
    "a token that it does not know": (
        section(f"admin_api:\n  backend: {{token: ADMIN_TOKEN, {CALL}}}"),
        "admin_api.backend.token: found one that the service does not have, "
        "expected a secret that a variable of backend holds",
    ),
    "nothing to ask": (
        section("admin_api:\n  backend: {token: JWT_SECRET_KEY, calls: {}}"),
        "admin_api.backend.calls: found an empty mapping, expected at least 1 of them",
    ),
    "a list of nothing": (
        section("checklists: {daily: []}"),
        "checklists.daily: found an empty list, expected at least 1 of them",
    ),
    "a list twice the same": (
        section("checklists: {security: [failed_logins, failed_logins]}"),
        "checklists.security[1]: found 'failed_logins' again, expected each once",
    ),
    "an old name of nothing": (
        section("legacy_names: {auth-service: auth}"),
        "legacy_names.auth-service: found 'auth', expected a service, a section, or a secret of services",
    ),
}


@pytest.mark.parametrize(("edit", "message"), CASES.values(), ids=CASES.keys())
def test_each_fault_is_one_sentence(tmp_path: Path, edit: Edit, message: str) -> None:
    assert messages(copied(tmp_path, edit)) == [message]


def test_what_is_said_is_kept(tmp_path: Path) -> None:
    root = copied(
        tmp_path,
        section(
            "release: {strategy: canary, order: [backend, frontend], pause: 30s, confirm: {times: 5, every: 10s}, "
            "canary: {pct: 10, watch: 10m, max_error_ratio: 0.01}}\n"
            f"admin_api:\n  backend: {{token: JWT_SECRET_KEY, {CALL}}}\n"
            "legacy_names: {uvicorn: backend, postgres-0: postgres, jwt-secret: JWT_SECRET_KEY}\n"
            "checklists: {daily: [health, disk]}"
        ),
    )
    common = loaded(root).common
    assert common.release.canary is not None and common.release.canary.watch == 600.0
    assert common.release.confirm is not None and common.release.confirm.times == 5
    assert common.admin_api["backend"].calls["cache_warm"].body == {"patterns": ["users:*"]}
    assert common.checklists == {"daily": ["health", "disk"]}
