"""The building blocks of every section's model: strict models, the `per_env` mark, sizes, durations, names."""

from __future__ import annotations

import ipaddress
import math
import re
from collections.abc import Callable
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema
from pydantic.fields import FieldInfo

_SIZE = re.compile(r"(?P<number>[1-9][0-9]{0,11})\s?(?P<unit>[kmgt]?)i?b?", re.IGNORECASE)
_SIZE_FACTOR = {"": 1, "k": 1024, "m": 1024**2, "g": 1024**3, "t": 1024**4}
_DURATION = re.compile(r"(?P<number>[0-9]{1,9}(\.[0-9]{1,3})?)\s?(?P<unit>ms|s|m|h|d)")
_DURATION_FACTOR = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
LARGEST_SIZE = 1024**5  # 1 PiB: above every host that there is, below what overflows a 64-bit setting


class StrictModel(BaseModel):
    """A part of an inventory: unknown keys and wrong types are errors, and nothing changes after loading."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, hide_input_in_errors=True)


def per_env(default: Any = ..., *, default_factory: Callable[[], Any] | None = None, **limits: Any) -> Any:
    """A field that `<env>.yaml` may set, and whose value there is no part of the change.

    Args:
        default: the value when neither file sets it; without one the field is required.
        default_factory: the same for lists and mappings.
        limits: what `pydantic.Field` takes (`ge`, `le`, `description` ...).
    """
    if default_factory is not None:
        return Field(default_factory=default_factory, json_schema_extra={"per_env": True}, **limits)
    return Field(default, json_schema_extra={"per_env": True}, **limits)


def is_per_env(field: FieldInfo) -> bool:
    """Whether an environment's file may set this field."""
    extra = field.json_schema_extra
    return isinstance(extra, dict) and extra.get("per_env") is True


def parse_size(value: Any) -> int:
    """Bytes of `512mb`, `2G`, `64 KiB` or a plain integer; every unit counts by 1024, as Redis and PostgreSQL do.

    Raises:
        ValueError: with what was expected.
    """
    expected = "a size such as 512mb or 2G"
    if isinstance(value, int) and not isinstance(value, bool):
        size = value
    elif isinstance(value, str) and (match := _SIZE.fullmatch(value)):
        size = int(match["number"]) * _SIZE_FACTOR[match["unit"].lower()]
    else:
        raise ValueError(expected)
    if not 0 < size <= LARGEST_SIZE:
        raise ValueError(f"{expected}, above 0 and at most 1024T")
    return size


def format_size(size: int) -> str:
    """Bytes as people write them: `512M`, `2G`, the number itself when no unit divides it."""
    for unit in "TGMK":
        factor = _SIZE_FACTOR[unit.lower()]
        if size % factor == 0 and size >= factor:
            return f"{size // factor}{unit}"
    return str(size)


def parse_duration(value: Any) -> float:
    """Seconds of `90s`, `5m`, `1h`, `250ms`, `7d`.

    Raises:
        ValueError: with what was expected.
    """
    match = _DURATION.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        raise ValueError("a duration with its unit, such as 250ms, 90s, 5m, 1h or 7d")
    return float(match["number"]) * _DURATION_FACTOR[match["unit"]]


def _address(value: str) -> str:
    try:
        return str(ipaddress.ip_address(value))
    except ValueError:
        raise ValueError("an IPv4 or IPv6 address") from None


def _network(value: str) -> str:
    try:
        return str(ipaddress.ip_network(value))
    except ValueError:
        raise ValueError("a network such as 192.0.2.0/24, with no bits set after the prefix") from None


def _scalar(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError("a finite number")
    if not isinstance(value, (str, int, float)):
        raise ValueError("text, a number, true or false")
    return value


def matching(pattern: str, expected: str) -> Callable[[str], str]:
    """A validator of text: the whole of it matches the pattern, or `expected` is what the message says."""
    compiled = re.compile(pattern)

    def check(value: str) -> str:
        if not compiled.fullmatch(value):
            raise ValueError(expected)
        return value

    return check


def _line(value: str) -> str:
    """Text that goes into configuration files: a line break there would start another directive."""
    if not value.strip() or any(ord(character) < 32 or ord(character) == 127 for character in value):
        raise ValueError("text on one line, not empty, without control characters")
    return value


ByteSize = Annotated[int, BeforeValidator(parse_size), WithJsonSchema({"type": ["string", "integer"]})]
"""A size in bytes, written `512mb` or `2G`."""

Duration = Annotated[float, BeforeValidator(parse_duration), WithJsonSchema({"type": "string"})]
"""A time in seconds, written with its unit: `250ms`, `90s`, `5m`."""

Scalar = Annotated[Any, BeforeValidator(_scalar), WithJsonSchema({"type": ["string", "number", "boolean"]})]
"""Text, a number or a truth value, as YAML wrote it."""

Line = Annotated[str, AfterValidator(_line)]
Port = Annotated[int, Field(ge=1, le=65535)]
Percent = Annotated[int, Field(ge=0, le=100)]
Address = Annotated[str, AfterValidator(_address)]
Network = Annotated[str, AfterValidator(_network)]

_LABEL = r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?"
Domain = Annotated[
    str,
    AfterValidator(matching(rf"(?=.{{1,253}}$){_LABEL}(\.{_LABEL})*", "a domain name in lower case")),
]
Name = Annotated[
    str,
    AfterValidator(
        matching(r"[a-z]([a-z0-9-]{0,22}[a-z0-9])?", "a name of 1 to 24 lower-case letters, digits and inner hyphens")
    ),
]
HostName = Annotated[
    str,
    AfterValidator(matching(rf"(?=[a-z]){_LABEL}", "a host name: lower-case letters, digits and inner hyphens")),
]
Identifier = Annotated[
    str,
    AfterValidator(
        matching(r"[a-z_][a-z0-9_]{0,62}", "an identifier of 1 to 63 lower-case letters, digits and underscores")
    ),
]
SecretName = Annotated[
    str,
    AfterValidator(matching(r"[A-Z][A-Z0-9_]{0,63}", "the name of a secret, in capitals such as JWT_SECRET_KEY")),
]
UrlPath = Annotated[str, AfterValidator(matching(r"/[A-Za-z0-9._~/-]*", "a path that starts with /"))]
