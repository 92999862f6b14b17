"""The section `scaling`: how many instances of a service, of all hosts together, and when there are more or fewer."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from mainstay.inventory.envvars import VariableName
from mainstay.inventory.fields import ByteSize, Duration, Identifier, Scalar, StrictModel, per_env

Level = Annotated[float, Field(gt=0, le=100)]
Step = Annotated[int, Field(ge=1, le=64)]


class ScalingRule(StrictModel):
    """More instances above `up` and fewer below `down`; or as many as bring the measure to `target` (SC-08)."""

    metric: Literal["cpu_pct", "memory_pct"]
    up: Level | None = None
    down: Level | None = None
    target: Level | None = None
    step_up: Step = 1
    step_down: Step = 1
    enabled: bool = True

    @model_validator(mode="after")
    def _decides(self) -> Self:
        given = tuple(key for key in ("up", "down", "target") if getattr(self, key) is not None)
        if given not in (("up", "down"), ("target",)) and (self.enabled or given):
            details = {"found": ", ".join(given) or "none of up, down, target", "expected": "up and down, or target"}
            raise PydanticCustomError("found_expected", "{expected}", details)
        return self


class Scaling(StrictModel):
    """How a service grows and shrinks; `services.<s>.instances` says what one host takes."""

    counts: dict[Identifier, Annotated[int, Field(ge=1, le=1000)]] = per_env(
        default_factory=dict, description="how many instances, of all hosts together, in a situation of that name"
    )
    least: int = per_env(1, ge=1, le=1000, description="of all hosts together, never fewer (SC-16)")
    incident_step: Step = Field(1, description="what is added at once in an incident")
    incident_memory: ByteSize | None = Field(None, description="MemoryMax while memory is short (SC-10)")
    incident_variables: dict[VariableName, Scalar] = Field(
        default_factory=dict, description="what the service's variables become while memory is short (RT-02)"
    )
    rules: dict[Identifier, ScalingRule] = Field(default_factory=dict)
    cooldown: Duration = Field("5m", validate_default=True, ge=1, description="between two changes by rules")
    watch_every: Duration = Field("30s", validate_default=True, ge=1, description="resources are looked at, afterwards")
