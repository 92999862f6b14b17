"""The sections `severity` and `incident`: how fast somebody answers, who is asked next, what is told to whom."""

from __future__ import annotations

import math
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, WithJsonSchema

from mainstay.inventory.fields import Duration, Identifier, Line, StrictModel, parse_duration

WORDS = ("business_hours", "next_business_day")


def _deadline(value: Any) -> float | str:
    if value in WORDS:
        return str(value)
    try:
        return parse_duration(value)
    except ValueError:
        raise ValueError(f"a duration such as 15m, {' or '.join(WORDS)}") from None


Deadline = Annotated[float | str, BeforeValidator(_deadline), WithJsonSchema({"type": "string"})]
"""A time in seconds, or what depends on the calendar: `business_hours`, `next_business_day`."""


def seconds(deadline: float | str) -> float:
    """The deadline in seconds; what depends on the calendar is later than every duration."""
    return math.inf if isinstance(deadline, str) else deadline


class Escalation(StrictModel):
    """Who is asked when the first has not answered."""

    after: Deadline
    to: list[Identifier] = Field(min_length=1, description="contacts, or fields of oncall")


class Severity(StrictModel):
    """What an incident of this severity is, and how fast it is answered."""

    rank: int = Field(ge=0, le=9, description="0 is the worst (CX-01)")
    text: Line | None = None
    includes: list[Identifier] = Field(default_factory=list, description="what counts as one")
    response: Deadline | None = Field(None, description="nothing: the runbook does not say")
    first: Identifier | None = Field(None, description="who is asked first: a contact, or a field of oncall")
    escalation: Escalation | None = Field(None, description="wider notification (CX-02: not a later response)")


class Phase(StrictModel):
    """A part of an incident's course."""

    name: Identifier
    until: Deadline | None = Field(None, description="over by then, counted from the start; nothing: when it is done")


class Incident(StrictModel):
    """The course of an incident, and what is told to whom."""

    phases: list[Phase] = Field(default_factory=list)
    security_phases: list[Phase] = Field(default_factory=list, description="of an incident of security")
    escalation: list[Identifier] = Field(default_factory=list, description="who is asked, one after the other")
    tell: list[Literal["status_page", "stakeholders", "timeline"]] = Field(default_factory=list)
    channel: Line | None = Field(None, description="where those who work on it talk")
    update_every: Duration | None = Field(None, description="between two messages while it lasts")
    postmortem_within: Duration | None = None
    statuses: list[Line] = Field(default_factory=list, description="the words of the status page, in their order")
    messages: list[Identifier] = Field(default_factory=list, description="what there is a template for")
