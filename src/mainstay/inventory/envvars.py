"""The rules for one environment variable of a service: where its value comes from, and what it must hold."""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from mainstay.inventory.fields import Line, Scalar, SecretName, StrictModel, per_env

VariableType = Literal[
    "string",
    "int",
    "float",
    "bool",
    "url",
    "dsn",
    "host",
    "ip",
    "port",
    "enum",
    "bucket",
    "hex",
    "base64",
    "duration",
    "size",
]
EnvironmentName = Literal["staging", "production"]


# Keys and variables whose values are not repeated in messages, and do not belong in these files.
SENSITIVE = re.compile(r"(password|passwd|secret|token|_key|_key_id|credentials?|private)$", re.IGNORECASE)


def _variable(value: str) -> str:
    if not re.fullmatch(r"[A-Z][A-Z0-9_]{0,63}", value):
        raise ValueError("the name of an environment variable, in capitals such as APP_ENV")
    return value


def _pattern(value: str) -> str:
    try:
        re.compile(value)
    except (re.error, RecursionError, OverflowError):
        raise ValueError("a regular expression of Python") from None
    return value


VariableName = Annotated[str, AfterValidator(_variable)]
Pattern = Annotated[str, AfterValidator(_pattern)]


class EnvVar(StrictModel):
    """One variable: at most one source (`value`, `secret`, `address_of`, `from_env_name`) and the rules for it."""

    type: VariableType = "string"
    value: Scalar | None = per_env(None, description="the value itself; secrets never stand here")
    secret: SecretName | None = Field(None, description="the secret that holds the value")
    address_of: str | None = Field(None, description="the address of the first host of this role")
    from_env_name: bool = Field(False, description="the environment's name is the value (EV-07)")
    required: bool = Field(False, description="a release does not start without it")
    min_len: int | None = Field(None, ge=1, le=65536, description="characters, a line break at the end not counted")
    min_bytes: int | None = Field(None, ge=1, le=65536, description="bytes that a hex or base64 value stands for")
    pattern: Pattern | None = Field(None, description="the whole value matches this regular expression")
    allowed: list[Line] | None = Field(None, min_length=1)
    forbidden: list[Line] = Field(default_factory=list, description="values that production refuses")
    forbidden_pattern: Pattern | None = Field(None, description="production refuses a value in which this is found")
    min: float | None = None
    max: float | None = None
    le: VariableName | None = Field(None, description="not above this other variable")
    must_contain: VariableName | None = Field(None, description="contains the value of this other variable")
    not_equal: VariableName | None = Field(None, description="differs from this other variable")
    differs_between: list[EnvironmentName] = Field(
        default_factory=list, description="these environments hold different values, compared by salted digest"
    )
    same_across_instances: bool = Field(False, description="every instance holds the same value (EV-13)")
    production_const: Scalar | None = Field(None, description="the only value that production accepts")
