"""What is kept, where, and who is asked: each rule of `storage`, `backup`, `logs`, `oncall`, `vendors`, `severity`."""

from __future__ import annotations

from pathlib import Path

import pytest

from mainstay.inventory.upkeep import Backup
from tests.unit.inventories import Edit, copied, loaded, messages

ENDPOINT = "https://s3.oss-cn-hangzhou.aliyuncs.com"
SCHEDULE = "schedule_utc: '15 1 * * *'"
CASES: dict[str, tuple[Edit, str]] = {
    "the vendor's own interface": (
        ("system.yaml", f"endpoint_url: {ENDPOINT}", "endpoint_url: https://oss-cn-hangzhou.aliyuncs.com"),
        "storage.endpoint_url: found https://oss-cn-hangzhou.aliyuncs.com, "
        f"expected {ENDPOINT}, which oss in cn-hangzhou has",
    ),
    "another region": (
        ("system.yaml", "native_endpoint: oss-cn-hangzhou", "native_endpoint: oss-cn-beijing"),
        "storage.native_endpoint: found oss-cn-beijing.aliyuncs.com, expected a host of the region cn-hangzhou",
    ),
    "path style": (
        ("system.yaml", "addressing: virtual", "addressing: path"),
        "storage.addressing: found path, expected virtual, which oss in cn-hangzhou has",
    ),
    "another signature": (
        ("system.yaml", "signature: s3 ", "signature: s3v4 "),
        "storage.signature: found s3v4, expected s3, which oss in cn-hangzhou has",
    ),
    "another vendor": (
        ("system.yaml", "provider: oss", "provider: gcs"),
        "storage.provider: found 'gcs', expected 'aws', 'cos' or 'oss'",
    ),
    "bucket": (
        ("production.yaml", "redis:\n", "storage: {bucket: Every_Day}\n\nredis:\n"),
        "storage.bucket: found 'Every_Day', "
        "expected a bucket name: 3 to 63 lower-case letters, digits, dots and hyphens",
    ),
    "prefix": (
        ("system.yaml", "  provider: oss ", "  prefix: backups\n  provider: oss "),
        "storage.prefix: found 'backups', expected a prefix that ends with /, or nothing",
    ),
    "schedule": (
        ("system.yaml", SCHEDULE, "schedule_utc: 2 AM"),
        "backup.schedule_utc: found '2 AM', "
        "expected a time of each day or of some weekdays in cron's fields, such as 15 1 * * *",
    ),
    "backup in the window": (
        ("system.yaml", SCHEDULE, "schedule_utc: '0 2 * * *'"),
        "backup.schedule_utc: found '0 2 * * *', which is within the window Sun 02:00-04:00 UTC, "
        "expected a time outside of every maintenance window",
    ),
    "late before the next": (
        ("system.yaml", "freshness_h: 26", "freshness_h: 24"),
        "backup.verify.freshness_h: found 24 h, and up to 24 h between two backups, "
        "expected more hours than lie between two backups",
    ),
    "backup of nothing": (
        ("system.yaml", "targets: [postgres, redis]", "targets: [postgres, scylla]"),
        "backup.targets[1]: found 'scylla', expected one of the inventory's sections: "
        "base, nginx, postgres, redis, frontend",
    ),
    "pattern": (
        ("system.yaml", "    - status_code=5", "    - 'status_code=(5'"),
        "logs.patterns[2]: found 'status_code=(5', expected a regular expression of Python",
    ),
    "log file": (
        ("system.yaml", "file: /var/log/everydayai/backend.log", "file: backend/backend.log"),
        "logs.file: found 'backend/backend.log', expected an absolute path of a file",
    ),
    "a number in the inventory": (
        ("system.yaml", "  devops: [vault, vault]", "  devops: [vault, '+49 30 901820']"),
        "oncall.devops[1]: found somebody who is not shown, "
        "expected an operator (alex), or vault for whom the secret store names",
    ),
    "nobody on call": (
        ("system.yaml", "  devops: [vault, vault]", "  devops: []"),
        "oncall.devops: found an empty list, expected at least 1 of them",
    ),
    "vendor": (
        ("system.yaml", "supabase: support@supabase.io", "supabase: ask around"),
        "vendors.supabase: found 'ask around', "
        "expected an e-mail address, an https URL or a number such as +65 6591 7888",
    ),
    "a worse severity that waits longer": (
        ("system.yaml", "P0: {rank: 0, response: 0s}", "P0: {rank: 0, response: 45m}"),
        "severity.P0.response: found 2700 s, while P1 has 1800 s, expected no longer than that of the milder P1",
    ),
}


@pytest.mark.parametrize(("edit", "message"), CASES.values(), ids=CASES.keys())
@pytest.mark.covers("DF-94", "CX-16")
def test_each_fault_is_one_sentence(tmp_path: Path, edit: Edit, message: str) -> None:
    assert messages(copied(tmp_path, edit)) == [message]


def test_each_vendor_is_spoken_to_in_its_own_way(tmp_path: Path) -> None:
    own = "provider: oss", "region: cn-hangzhou", f"endpoint_url: {ENDPOINT}", "signature: s3 "
    cos = (
        "provider: cos",
        "region: ap-guangzhou",
        "endpoint_url: https://cos.ap-guangzhou.myqcloud.com",
        ("bucket: everydayai-1250000000\n  signature: s3v4 "),
    )
    edits = [("system.yaml", old, new) for old, new in zip(own, cos, strict=True)]
    edits.append(("system.yaml", "  native_endpoint: oss-cn-hangzhou.aliyuncs.com # seed\n", ""))
    assert messages(copied(tmp_path / "cos", *edits)) == []
    without = ("system.yaml", "bucket: everydayai-1250000000", "bucket: everydayai")
    assert messages(copied(tmp_path / "appid", *edits, without)) == [
        "storage.bucket: found everydayai, expected a name that ends with the account's APPID"
    ]


@pytest.mark.parametrize(
    ("schedule", "hours"), [("15 1 * * *", 24), ("0 3 * * 0", 168), ("0 3 * * 1,3,5", 72), ("0 3 * * 6,0", 144)]
)
def test_hours_between_backups(schedule: str, hours: int) -> None:
    assert Backup(schedule_utc=schedule, targets=["postgres"]).longest_gap_h == hours


@pytest.mark.parametrize("schedule", ["0 2 * * 1", "0 4 * * *", "59 1 * * 0"])
def test_beside_the_window_is_well(tmp_path: Path, schedule: str) -> None:
    edits = (
        ("system.yaml", SCHEDULE, f"schedule_utc: '{schedule}'"),
        ("system.yaml", "freshness_h: 26", "freshness_h: 170"),
    )
    assert messages(copied(tmp_path, *edits)) == []


def test_a_system_may_say_none_of_it(tmp_path: Path) -> None:
    root = copied(tmp_path)
    path = root / "inventories" / "everydayai" / "system.yaml"
    text = path.read_text()
    start, end = text.index("\noncall:"), text.index("\nmaintenance:")
    path.write_text(text[:start] + text[end:])
    env = loaded(root)
    assert (env.common.storage, env.common.backup, env.common.oncall, env.common.vendors) == (None, None, {}, {})
