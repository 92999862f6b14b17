"""What is kept, and where: each rule of `storage`, `backup`, `logs`, `vendors`, `maintenance`."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from pathlib import Path

import pytest

from mainstay.inventory.upkeep import Backup, stamped
from tests.unit.inventories import Edit, copied, loaded, messages

ENDPOINT = "https://s3.oss-cn-hangzhou.aliyuncs.com"
WEBROOT = "webroot: /var/www/html"
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
    "certificates for what is not there": (
        (
            "system.yaml",
            "oncall:",
            f"certificates: {{{WEBROOT}, live_dir: '/live/{{domain}}', reload: haproxy}}\n\noncall:",
        ),
        "certificates.reload: found 'haproxy', "
        "expected one of the inventory's sections: base, nginx, postgres, redis, frontend, monitoring",
    ),
    "certificates nowhere": (
        ("system.yaml", "oncall:", f"certificates: {{{WEBROOT}, live_dir: '/live/{{name}}'}}\n\noncall:"),
        "certificates.live_dir: found '/live/{name}', expected an absolute path; {domain} is the environment's",
    ),
    "challenges in a folder of others": (
        ("system.yaml", "oncall:", "certificates: {webroot: /root, live_dir: /live}\n\noncall:"),
        "certificates.webroot: found '/root', expected a folder below /var/www such as /var/www/acme",
    ),
    "challenges beside their folder": (
        ("system.yaml", "oncall:", "certificates: {webroot: /var/www/../lib, live_dir: /live}\n\noncall:"),
        "certificates.webroot: found '/var/www/../lib', expected a folder below /var/www such as /var/www/acme",
    ),
    "a run's folder without an end": (
        ("system.yaml", "  targets: [postgres", "  folder: '%Y%m%d_%H%M%S'\n  targets: [postgres"),
        "backup.folder: found '%Y%m%d_%H%M%S', expected folders such as %Y%m%d/, each with / behind it",
    ),
    "late before the next": (
        ("system.yaml", "freshness_h: 26", "freshness_h: 24"),
        "backup.verify.freshness_h: found 24 h, and up to 24 h between two backups, "
        "expected more hours than lie between two backups",
    ),
    "backup of nothing": (
        ("system.yaml", "targets: [postgres, redis]", "targets: [postgres, scylla]"),
        "backup.targets[1]: found 'scylla', expected one of the inventory's sections: "
        "base, nginx, postgres, redis, frontend, monitoring",
    ),
    "pattern": (
        ("system.yaml", "    - status_code=5", "    - 'status_code=(5'"),
        "logs.patterns[2]: found 'status_code=(5', expected a regular expression of Python",
    ),
    "log file": (
        ("system.yaml", "backend: /var/log/everydayai/backend.log", "backend: backend/backend.log"),
        "logs.files.backend: found 'backend/backend.log', expected a file below /var/log such as /var/log/shop/api.log",
    ),
    "log file in a folder of others": (
        ("system.yaml", "backend: /var/log/everydayai/", "backend: /var/log/nginx/"),
        "logs.files.backend: found /var/log/nginx/backend.log, expected a file of /var/log/everydayai/",
    ),
    "log file of what has no log": (
        ("system.yaml", "    backend: /var/log/everydayai/backend.log", "    frontend: /var/log/everydayai/f.log"),
        "logs.files.frontend: found 'frontend', expected a service with processes: backend",
    ),
    "log files larger than the disk": (
        ("system.yaml", "  max_size: 100M", "  max_size: 100G"),
        "logs.max_size: found 100G, 9 files of which may stand on eai-app-1, expected files that fit its disk of 20G",
    ),
    "vendor": (
        ("system.yaml", "supabase: support@supabase.io", "supabase: ask around"),
        "vendors.supabase: found 'ask around', "
        "expected an e-mail address, an https URL or a number such as +65 6591 7888",
    ),
    "a name of nothing that is backed up": (
        ("system.yaml", SCHEDULE, f"{SCHEDULE}\n  names: {{nginx: 'nginx_%Y%m%d_%H%M%S'}}"),
        "backup.names.nginx: found 'nginx', expected one of backup.targets: postgres, redis",
    ),
    "a name that the next one takes": (
        ("system.yaml", SCHEDULE, f"{SCHEDULE}\n  names: {{postgres: 'backup_%Y%m%d'}}"),
        "backup.names.postgres: found 'backup_%Y%m%d', expected a name with the time to the second in it "
        "(%Y%m%d_%H%M%S), so that none takes another's place",
    ),
    "a name with other codes": (
        ("system.yaml", SCHEDULE, f"{SCHEDULE}\n  names: {{postgres: '{{run_id}}_%s'}}"),
        "backup.names.postgres: found '{run_id}_%s', "
        "expected a file's name with %Y %m %d %H %M %S and {database} in it",
    ),
    "restored and not backed up": (
        ("system.yaml", SCHEDULE, f"{SCHEDULE}\n  restore: {{order: [postgres, scylla, releases]}}"),
        "backup.restore.order[1]: found 'scylla', expected each of postgres, redis, releases once at most",
    ),
    "restored twice": (
        ("system.yaml", SCHEDULE, f"{SCHEDULE}\n  restore: {{order: [redis, redis]}}"),
        "backup.restore.order[1]: found 'redis', expected each of postgres, redis, releases once at most",
    ),
    "an old name with a folder": (
        ("system.yaml", SCHEDULE, f"{SCHEDULE}\n  legacy_names: [backups/latest.sql.gz]"),
        "backup.legacy_names[0]: found 'backups/latest.sql.gz', expected a file's name, without folders",
    ),
    "a folder without its end": (
        ("system.yaml", SCHEDULE, f"{SCHEDULE}\n  folder: '%Y%m%d'"),
        "backup.folder: found '%Y%m%d', expected folders such as %Y%m%d/, each with / behind it",
    ),
    "a window shorter than the work": (
        ("system.yaml", "  announce_h: 48", "  duration_h: {min: 3, max: 4}\n  announce_h: 48"),
        "maintenance.windows[0]: found 'Sun 02:00-04:00 UTC', "
        "expected 3 h at least, which duration_h says the work takes",
    ),
    "from more hours to fewer": (
        ("system.yaml", "  announce_h: 48", "  duration_h: {min: 2, max: 1}\n  announce_h: 48"),
        "maintenance.duration_h: found min 2, max 1, expected min <= max",
    ),
}


@pytest.mark.parametrize(("edit", "message"), CASES.values(), ids=CASES.keys())
@pytest.mark.covers("CX-16")
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


def test_a_name_holds_the_moment_and_the_database() -> None:
    moment = datetime(2026, 1, 12, 2, 0, 7, tzinfo=UTC)
    assert stamped("{database}_%Y%m%d_%H%M%S.sql", moment, "shop") == "shop_20260112_020007.sql"


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
    limit = re.search(r"\n  log_patterns_per_min:.*", text)
    assert limit is not None  # of a log that is not looked at any more
    path.write_text((text[:start] + text[end:]).replace(limit[0], ""))
    env = loaded(root)
    assert (env.common.storage, env.common.backup, env.common.oncall, env.common.vendors) == (None, None, {}, {})
