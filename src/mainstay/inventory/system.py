"""The common schema: what `system.yaml` and `<env>.yaml` hold besides the components' own sections."""

from __future__ import annotations

import re
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, model_validator
from pydantic_core import PydanticCustomError

from mainstay.inventory.certificates import Certificates
from mainstay.inventory.fields import (
    Address,
    ByteSize,
    Domain,
    Duration,
    HostName,
    Identifier,
    Line,
    Name,
    Percent,
    Port,
    SecretName,
    StrictModel,
    matching,
    per_env,
)
from mainstay.inventory.incident import Incident, Severity
from mainstay.inventory.release_process import AdminApi, Checklists, ReleaseProcess
from mainstay.inventory.scaling import Scaling
from mainstay.inventory.service_defaults import ServiceDefaults
from mainstay.inventory.services import Role, Services
from mainstay.inventory.upkeep import Backup, Contacts, Logs, OnCall, Storage, Vendors
from mainstay.secrets.generator import Generator

_KEY = re.compile(
    r"(ssh-ed25519|ssh-rsa|ecdsa-sha2-nistp(256|384|521)|sk-ssh-ed25519@openssh\.com) [A-Za-z0-9+/]{32,}={0,2}( .*)?"
)
DAYS = ("Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat")
"""Weekdays as windows name them, counted as cron does."""
_WINDOW = re.compile(r"(Mon|Tue|Wed|Thu|Fri|Sat|Sun|daily) ([01]\d|2[0-3]):[0-5]\d-([01]\d|2[0-3]):[0-5]\d UTC")


def _public_key(value: str) -> str:
    if not _KEY.fullmatch(value):
        raise ValueError("a public SSH key on one line, such as ssh-ed25519 AAAA... name")
    return value


def _window(value: str) -> str:
    if not _WINDOW.fullmatch(value):
        raise ValueError("a window such as Sun 02:00-04:00 UTC (or daily 02:00-04:00 UTC)")
    return value


AlertName = Annotated[
    str, AfterValidator(matching(r"[A-Z][A-Za-z0-9]{1,62}", "a name in one word, such as HighErrorRate"))
]
Limit = Annotated[float, Field(ge=0)]
Share = Annotated[float, Field(ge=0, le=100)]
LegacyName = Annotated[str, AfterValidator(matching(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,62}", "a name of one word"))]


def window_minutes(window: str) -> tuple[int, int]:
    """Start and end of a checked window, in minutes of the day."""
    start, end = (clock.split(":") for clock in window.split()[1].split("-"))
    return int(start[0]) * 60 + int(start[1]), int(end[0]) * 60 + int(end[1])


class HostSpec(StrictModel):
    """One host of an environment: where it is, what it is for, and what tuning is computed from."""

    address: Address
    ssh_port: Port = 22
    roles: list[Role] = Field(min_length=1)
    memory: ByteSize
    cores: int = Field(ge=1, le=1024)
    disk: ByteSize
    debian: Literal[12, 13] = 12
    gpus: int = Field(0, ge=0, le=64, description="GPUs that programs may use; one instance takes one")


class Operator(StrictModel):
    """A person with an account of their own on every host."""

    keys: list[Annotated[Line, AfterValidator(_public_key)]] = Field(min_length=1)


class Threshold(StrictModel):
    """When a measurement warns and when it is critical; its unit is the end of its key (`_pct`, `_ms`, `_per_s`)."""

    warn: Limit | None = None
    crit: Limit | None = None
    for_: Duration | None = Field(None, alias="for", description="how long it must last")
    action: Identifier | None = None
    called: AlertName | None = Field(None, description="the name of its alerts; by default the measure's own")

    @property
    def limits(self) -> dict[str, float]:
        """`warn` and `crit`, those that there are."""
        both = {"warn": self.warn, "crit": self.crit}
        return {name: limit for name, limit in both.items() if limit is not None}


class Alert(StrictModel):
    """One alert of a severity: a rule in words, or a threshold that lasts."""

    name: Identifier
    rule: Line | None = None
    above_pct: Share | None = None
    below_pct: Share | None = Field(None, description="of what is worse the lower it is, such as a hit rate")
    above_ms: Limit | None = None
    for_: Duration | None = Field(None, alias="for")
    called: AlertName | None = Field(None, description="its name where people see it; by default the rule's own")

    @property
    def limit(self) -> tuple[str, float] | None:
        """The key of its limit, and the number; None for a rule in words."""
        return next(iter(self._limits().items()), None)

    def _limits(self) -> dict[str, float]:
        given = {"above_pct": self.above_pct, "below_pct": self.below_pct, "above_ms": self.above_ms}
        return {key: number for key, number in given.items() if number is not None}

    @model_validator(mode="after")
    def _one_limit(self) -> Self:
        if len(self._limits()) > 1:
            words = {"found": " and ".join(self._limits()), "expected": "one limit of one measure"}
            raise PydanticCustomError("found_expected", "{expected}", words)
        return self


class Hours(StrictModel):
    """From so many hours to so many."""

    min: int = Field(1, ge=1, le=24)
    max: int = Field(24, ge=1, le=24)


class Maintenance(StrictModel):
    """When disruptive work may be done, and what surrounds it."""

    windows: list[Annotated[str, AfterValidator(_window)]] = Field(default_factory=list)
    duration_h: Hours = Field(default_factory=Hours, description="what the work takes; windows are no shorter")
    announce_h: int = Field(48, ge=0, le=720)
    banner: bool = True
    smoke_tests: bool = True
    post_watch_min: int = Field(60, ge=0, le=1440)


class Gates(StrictModel):
    """What a release must have behind it before production takes it: what `ci.json` in its artefact says of it."""

    tests: list[Line] = Field(default_factory=list, description="its tests have passed, where any is named")
    coverage_min_pct: Percent = 0
    changelog: bool = Field(False, description="its changelog names the version (DP-09)")
    migrations_tested: bool = True
    env_example: Line | None = Field(None, description="a file of the release; the inventory has what it names (DP-04)")
    api_backward_compatible: bool = False
    secret_scan: bool = False
    staging_verified: bool = True
    rollback_plan: bool = True


class Rollout(StrictModel):
    """How a change travels: from staging to production, host by host."""

    verified_within_h: int = Field(24, ge=1, le=720, description="how long staging's proof is good for production")
    budget: int = per_env(0, ge=0, le=1000, description="hosts that may fail before the rollout stops")
    ramps: list[Annotated[int, Field(ge=1, le=100)]] = per_env(
        default_factory=lambda: [25, 100], min_length=1, description="percent of a role, after its first host"
    )
    side_by_side: list[Annotated[list[Role], Field(min_length=2)]] = per_env(
        default_factory=list, description="roles that share their batches, because neither needs the other"
    )


class SecretRules(StrictModel):
    """How old a secret may become, and how long the one before it stays valid."""

    rotation_days: int = Field(92, ge=1, le=3650)
    overlap_h: int = Field(24, ge=0, le=720)
    generators: dict[SecretName, Generator] = Field(default_factory=dict, description="how a missing one is made")
    issued: list[SecretName] = Field(default_factory=list, description="only their issuer can make these")


class SystemModel(StrictModel):
    """The common part of one environment of a system, both files merged."""

    system: Name
    description: Line
    domain: Domain = per_env()
    api_domain: Domain | None = per_env(None)
    operators: dict[Name, Operator] = per_env(min_length=1)
    bootstrap_user: Name = per_env("debian", description="the image's own user, for the first contact")
    hosts: dict[HostName, HostSpec] = per_env(min_length=1)
    service_defaults: ServiceDefaults | None = Field(
        None, description="what services with processes share; a service's own keys win"
    )
    services: Services
    secrets: SecretRules = Field(default_factory=SecretRules)
    thresholds: dict[Identifier, Threshold] = Field(default_factory=dict)
    alerts: dict[str, list[Alert]] = Field(default_factory=dict)
    maintenance: Maintenance = Field(default_factory=Maintenance)
    severity: dict[str, Severity] = Field(default_factory=dict)
    incident: Incident = Field(default_factory=Incident)
    contacts: Contacts = Field(default_factory=dict, description="who is told: an address, or `vault`")
    oncall: OnCall = Field(default_factory=dict, description="who answers, by field; operators, or `vault`")
    vendors: Vendors = Field(default_factory=dict, description="where a vendor's support is asked; nothing: unknown")
    storage: Storage | None = None
    backup: Backup | None = None
    certificates: Certificates | None = None
    logs: Logs = Field(default_factory=Logs)
    scaling: dict[Name, Scaling] = Field(default_factory=dict, description="by service")
    release: ReleaseProcess = Field(default_factory=ReleaseProcess)
    admin_api: dict[Name, AdminApi] = Field(default_factory=dict, description="by service")
    checklists: Checklists = Field(default_factory=dict)
    legacy_names: dict[LegacyName, LegacyName] = Field(
        default_factory=dict, description="what the runbook called a service, a component's server or a secret"
    )
    gates: Gates = Field(default_factory=Gates)
    rollback_sla_s: dict[Identifier, Annotated[int, Field(ge=1)]] = Field(default_factory=dict)
    rollout: Rollout = Field(default_factory=Rollout)
