"""The sections `storage`, `backup`, `logs`, `oncall` and `vendors`: what is kept, where, and who is asked."""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from mainstay.inventory.envvars import Pattern
from mainstay.inventory.fields import Domain, Identifier, StrictModel, matching, per_env

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
Schedule = Annotated[
    str,
    AfterValidator(
        matching(_SCHEDULE.pattern, "a time of each day or of some weekdays in cron's fields, such as 15 1 * * *")
    ),
]
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
    addressing: Literal["virtual", "path"] = "virtual"
    signature: Literal["s3", "s3v4"] = "s3v4"


class BackupProof(StrictModel):
    """How a backup is known to be one."""

    freshness_h: int = Field(26, ge=1, le=720, description="older than this is an alert")
    restore_test: Literal["daily", "weekly", "monthly"] = "weekly"


class Backup(StrictModel):
    """When, what and for how long."""

    schedule_utc: Schedule
    targets: list[Identifier] = Field(min_length=1, description="the components whose data it holds")
    retention_days: int = Field(7, ge=1, le=3650)
    keep_min: int = Field(3, ge=1, le=1000, description="never fewer than these, however old (DF-93)")
    verify: BackupProof = Field(default_factory=BackupProof)

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
    """What people look for in a service's log, and where its own file is."""

    file: FilePath | None = None
    patterns: list[Pattern] = Field(default_factory=list, description="regular expressions worth counting")


VAULT = "vault"
"""Stands for a person whose name and number are in the secret store: neither belongs in these files (DF-94)."""

OnCall = dict[Identifier, Annotated[list[str], Field(min_length=1)]]
Vendors = dict[Identifier, Vendor | None]
