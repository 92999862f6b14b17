"""The sections `release`, `admin_api` and `checklists`: how a version gets out, and what people do around it."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from mainstay.inventory.fields import Duration, Identifier, Line, Name, SecretName, StrictModel, UrlPath

Steps = list[Identifier]
Moment = Literal[
    "daily", "weekly", "before_release", "after_release", "before_maintenance", "rollback", "recovery", "security"
]
Checklists = dict[Moment, Annotated[Steps, Field(min_length=1)]]
"""What a person goes through, by occasion."""


class Canary(StrictModel):
    """A share of the requests goes to the new version first, and decides."""

    pct: int = Field(10, ge=1, le=50)
    watch: Duration = Field("10m", validate_default=True, ge=1)
    poll: Duration = Field("30s", validate_default=True, ge=1)
    max_error_ratio: float = Field(0.01, ge=0, lt=1)
    min_requests: int = Field(200, ge=1, description="fewer prove nothing, and the canary has failed")


class Confirmation(StrictModel):
    """A new version is asked again after it was healthy once; each instance by itself."""

    times: int = Field(ge=1, le=1000)
    every: Duration = Field(ge=0.1)


class Hotfix(StrictModel):
    """What a release in an emergency may leave out, in the pipeline's terms."""

    branch: Line
    may_skip: Steps = Field(default_factory=list)
    never_skip: Steps = Field(default_factory=list)


class ReleaseProcess(StrictModel):
    """How a version gets to the hosts; `gates` says what it needs behind it, `rollout` how it travels among them."""

    strategy: Literal["blue-green", "rolling", "canary"] = "blue-green"
    order: list[Name] = Field(default_factory=list, description="services that follow one another; none: as they stand")
    pause: Duration = Field("0s", validate_default=True, description="between two services")
    confirm: Confirmation | None = None
    canary: Canary | None = None
    pipeline: Steps = Field(default_factory=list, description="from staging to a watched production")
    hotfix: Hotfix | None = None


class Call(StrictModel):
    """One request to a service's own administration."""

    method: Literal["GET", "POST"] = "GET"
    path: UrlPath
    body: dict[str, Any] | None = None


class AdminApi(StrictModel):
    """What a service lets an administrator do over HTTP, never without a token (MW-02)."""

    token: SecretName = Field(description="one of the service's own secrets, sent as a bearer token")
    calls: dict[Identifier, Call] = Field(min_length=1)
