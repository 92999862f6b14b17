"""The sections `storage`, `backup`, `logs`, `contacts`, `oncall` and `vendors`: what is kept, where, who is asked."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from mainstay.inventory.envvars import Pattern
from mainstay.inventory.fields import (
    ByteSize,
    Domain,
    Duration,
    Identifier,
    Line,
    Name,
    SecretName,
    StrictModel,
    matching,
    per_env,
)

Provider = Literal["aws", "cos", "oss"]
_SCHEDULE = re.compile(r"(?P<minute>[0-5]?\d) (?P<hour>[01]?\d|2[0-3]) \* \* (?P<days>\*|[0-6](,[0-6])*)")
_CONTACT = re.compile(r"[^@\s]+@[^@\s]+\.[^@\s]+|https://[^\s<>\"]+|\+[0-9][0-9 ]{5,20}[0-9]")

Region = Annotated[str, AfterValidator(matching(r"[a-z]{2,}(-[a-z0-9]+)+", "a region such as cn-hangzhou"))]
Bucket = Annotated[
    str,
    AfterValidator(
        matching(
            r"[a-z0-9]([a-z0-9.-]{1,61})[a-z0-9]", "a bucket name: 3 to 63 lower-case letters, digits, dots and hyphens"
        )
    ),
]
Prefix = Annotated[str, AfterValidator(matching(r"([A-Za-z0-9._-]+/)*", "a prefix that ends with /, or nothing"))]
FilePath = Annotated[str, AfterValidator(matching(r"(/[A-Za-z0-9._-]+)+", "an absolute path of a file"))]
LogFile = Annotated[
    str,
    AfterValidator(
        matching(
            r"/var/log/[A-Za-z0-9_-]+/[A-Za-z0-9][A-Za-z0-9._-]*\.log",
            "a file below /var/log such as /var/log/shop/api.log",
        )
    ),
]
Schedule = Annotated[
    str,
    AfterValidator(
        matching(_SCHEDULE.pattern, "a time of each day or of some weekdays in cron's fields, such as 15 1 * * *")
    ),
]
FileName = Annotated[str, AfterValidator(matching(r"[A-Za-z0-9][A-Za-z0-9._-]*", "a file's name, without folders"))]
Word = Annotated[str, AfterValidator(matching(r"[a-z0-9_-]+_", "the start of a name, such as manual_"))]


def stamped(pattern: str, moment: datetime, database: str = "") -> str:
    """The name that a pattern gives at a moment (UTC): strftime's codes, and `{database}`.

    Raises:
        ValueError: it is no such pattern.
    """
    rest = re.sub(r"%[YmdHMS]|\{database\}", "", pattern)
    if not re.fullmatch(r"[A-Za-z0-9._-]*", rest):
        raise ValueError("a file's name with %Y %m %d %H %M %S and {database} in it")
    return moment.strftime(pattern).replace("{database}", database)


def _pattern_of_names(value: str) -> str:
    one, two = (stamped(value, datetime(2026, 1, 12, 2, 0, second, tzinfo=UTC)) for second in (0, 1))
    if one == two:
        raise ValueError("a name with the time to the second in it (%Y%m%d_%H%M%S), so that none takes another's place")
    return value


StampedName = Annotated[str, AfterValidator(_pattern_of_names)]
"""A file's name with the time in it, `backup_%Y%m%d_%H%M%S`."""

Vendor = Annotated[
    str, AfterValidator(matching(_CONTACT.pattern, "an e-mail address, an https URL or a number such as +65 6591 7888"))
]


class Storage(StrictModel):
    """The S3-compatible store outside of the hosts (TP-01: each vendor wants to be spoken to in its own way)."""

    provider: Provider
    region: Region
    endpoint_url: str = Field(description="the vendor's S3-compatible interface")
    native_endpoint: Domain | None = Field(None, description="the vendor's own interface, for programs that speak it")
    bucket: Bucket | None = per_env(None)
    prefix: Prefix = ""
    key_id: SecretName | None = Field(None, description="name of the secret with the id of the access key")
    key: SecretName | None = Field(None, description="name of the secret with the access key")
    addressing: Literal["virtual", "path"] = "virtual"
    signature: Literal["s3", "s3v4"] = "s3v4"


Extra = Literal["config", "secrets", "certificates", "uploads"]
StampedFolder = Annotated[
    str, AfterValidator(matching(r"((%[YmdHMS]|[A-Za-z0-9_-])+/)*", "folders such as %Y%m%d/, each with / behind it"))
]


class BackupProof(StrictModel):
    """How a backup is known to be one."""

    freshness_h: int = Field(26, ge=1, le=720, description="older than this is an alert")
    restore_test: Literal["daily", "weekly", "monthly"] = "weekly"
    anonymise: bool = Field(True, description="people's data is made unreadable in a copy that is restored elsewhere")
    tables: list[Identifier] = Field(default_factory=list, description="a restored copy has rows in each of these")
    newest: int = Field(5, ge=1, le=1000, description="how many the daily look shows")


class Restore(StrictModel):
    """How a system comes back from its backups."""

    order: list[Identifier] = Field(default_factory=list, description="what follows what; targets, extras, releases")
    ready_timeout: Duration = Field("10m", validate_default=True, ge=1, description="services answer again by then")


class Backup(StrictModel):
    """When, what and for how long."""

    schedule_utc: Schedule
    targets: list[Identifier] = Field(min_length=1, description="the components whose data it holds")
    retention_days: int = Field(7, ge=1, le=3650)
    keep_min: int = Field(3, ge=1, le=1000, description="never fewer than these, however old (DF-93)")
    extras: list[Extra] = Field(default_factory=list, description="what no component keeps")
    dir: FilePath | None = Field(None, description="where they are on the host")
    names: dict[Identifier, StampedName] = Field(default_factory=dict, description="target to its files' names")
    prefixes: list[Word] = Field(default_factory=list, description="of names of those made by hand or for an occasion")
    legacy_names: list[FileName] = Field(default_factory=list, description="older files that a restore still takes")
    folder: StampedFolder = Field("", description="the folder of each run in the store, such as %Y%m%d/")
    marker: FilePath | None = Field(None, description="written when a backup has been proven, never before (HC-11)")
    manifest: list[Line] = Field(default_factory=list, description="what is written down beside each run")
    before_release: bool = Field(False, description="one is made before each release")
    point_in_time: bool = Field(False, description="the write-ahead log is kept too: back to any moment")
    verify: BackupProof = Field(default_factory=BackupProof)
    restore: Restore = Field(default_factory=Restore)

    @property
    def minute_of_day(self) -> int:
        """When it starts."""
        minute, hour, *_ = self.schedule_utc.split()
        return int(hour) * 60 + int(minute)

    @property
    def weekdays(self) -> list[int]:
        """On which days it runs, as cron counts them: 0 is Sunday."""
        days = self.schedule_utc.split()[4]
        return list(range(7)) if days == "*" else sorted({int(day) for day in days.split(",")})

    @property
    def longest_gap_h(self) -> int:
        """Hours between two runs, at most."""
        days = self.weekdays
        return 24 * max((after - day) % 7 or 7 for day, after in zip(days, [*days[1:], days[0]], strict=True))


class Logs(StrictModel):
    """What people look for in a service's log; which services have a file of their own beside the journal."""

    files: dict[Name, LogFile] = Field(default_factory=dict, description="service to the file of its log")
    max_size: ByteSize = per_env(
        "100M", validate_default=True, ge=1024, description="a file that is larger is rotated within the hour"
    )
    keep: int = Field(7, ge=1, le=365, description="rotated files that are kept of each")
    patterns: list[Pattern] = Field(default_factory=list, description="regular expressions worth counting")
    lines: int = Field(100, ge=1, le=100000, description="shown where nobody says how many")
    incident_lines: int = Field(500, ge=1, le=100000, description="the same in an incident")
    since: Duration = Field("12h", validate_default=True, ge=1, description="of the daily look")
    search_since: Duration = Field("1h", validate_default=True, ge=1, description="of a search")
    export_name: StampedName | None = Field(None, description="of a file that is taken away to read")


VAULT = "vault"
"""Stands for a person whose name and number are in the secret store: neither belongs in these files (DF-94)."""


def _reachable(value: str) -> str:
    if value != VAULT and not re.fullmatch(r"[^@\s]+@[^@\s]+\.[^@\s]+", value):
        raise ValueError(f"an e-mail address, or {VAULT}; telephone numbers belong in the secret store")
    return value


Contacts = dict[Identifier, Annotated[Line, AfterValidator(_reachable)]]
OnCall = dict[Identifier, Annotated[list[str], Field(min_length=2)]]
"""By field: whoever answers first, and whoever does when the first does not (IR-17)."""

Vendors = dict[Identifier, Vendor | None]
