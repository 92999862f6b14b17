"""Cross-checks of what is kept: endpoints, schedules beside windows, targets and their names."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from mainstay.errors import Problem
from mainstay.inventory.environment import Environment
from mainstay.inventory.system import DAYS, window_minutes
from mainstay.inventory.upkeep import Backup, Provider

RELEASES = "releases"
"""What a restore brings back last: the services' pinned versions."""


@dataclass(frozen=True)
class Dialect:
    """How a vendor's S3-compatible interface is reached."""

    endpoint: str
    addressing: tuple[str, ...]
    signature: str


DIALECTS: dict[Provider, Dialect] = {
    "aws": Dialect("https://s3.{region}.amazonaws.com", ("virtual", "path"), "s3v4"),
    "cos": Dialect("https://cos.{region}.myqcloud.com", ("virtual",), "s3v4"),
    # oss-<region>.aliyuncs.com is the vendor's own interface; of S3's signatures the other one takes only the old.
    "oss": Dialect("https://s3.oss-{region}.aliyuncs.com", ("virtual",), "s3"),
}


def storage(env: Environment) -> Iterator[Problem]:
    """An endpoint of another vendor or region, a way of speaking that the vendor does not understand."""
    store = env.common.storage
    if store is None:
        return
    dialect = DIALECTS[store.provider]
    endpoint = dialect.endpoint.format(region=store.region)
    wrong = {
        "endpoint_url": (store.endpoint_url, endpoint if store.endpoint_url != endpoint else ""),
        "addressing": (
            store.addressing,
            " or ".join(dialect.addressing) if store.addressing not in dialect.addressing else "",
        ),
        "signature": (store.signature, dialect.signature if store.signature != dialect.signature else ""),
    }
    for key, (found, expected) in wrong.items():
        if expected:
            yield env.problem(("storage", key), found, f"{expected}, which {store.provider} in {store.region} has")
    native = store.native_endpoint
    if native is not None and store.region not in native:
        yield env.problem(("storage", "native_endpoint"), native, f"a host of the region {store.region}")
    if store.provider == "cos" and store.bucket is not None and not re.search(r"-[0-9]{8,12}$", store.bucket):
        yield env.problem(("storage", "bucket"), store.bucket, "a name that ends with the account's APPID")


def backup(env: Environment) -> Iterator[Problem]:
    """A backup that starts within a maintenance window (CX-16), or that is late before it can be there again."""
    plan = env.common.backup
    if plan is None:
        return
    for window in env.common.maintenance.windows:
        if _starts_within(plan, window):
            found = f"{plan.schedule_utc!r}, which is within the window {window}"
            yield env.problem(("backup", "schedule_utc"), found, "a time outside of every maintenance window")
    if plan.verify.freshness_h <= plan.longest_gap_h:
        found = f"{plan.verify.freshness_h} h, and up to {plan.longest_gap_h} h between two backups"
        yield env.problem(("backup", "verify", "freshness_h"), found, "more hours than lie between two backups")


def targets(env: Environment) -> Iterator[Problem]:
    """Backups of what the system does not have; names, and an order of restoring, of what is not backed up."""
    plan = env.common.backup
    if plan is None:
        return
    for index, stem in enumerate(plan.targets):
        if stem not in env.sections:
            expected = f"one of the inventory's sections: {', '.join(env.sections)}"
            yield env.problem(("backup", "targets", index), repr(stem), expected)
    for name in plan.names:
        if name not in plan.targets:
            yield env.problem(
                ("backup", "names", name), repr(name), f"one of backup.targets: {', '.join(plan.targets)}"
            )
    known = [*plan.targets, *plan.extras, RELEASES]
    for index, name in enumerate(plan.restore.order):
        if name not in known or name in plan.restore.order[:index]:
            key = ("backup", "restore", "order", index)
            yield env.problem(key, repr(name), f"each of {', '.join(known)} once at most")


def _starts_within(plan: Backup, window: str) -> bool:
    day, *_ = window.split()
    start, end = window_minutes(window)
    on_that_day = day == "daily" or DAYS.index(day) in plan.weekdays
    return on_that_day and start <= plan.minute_of_day < end
