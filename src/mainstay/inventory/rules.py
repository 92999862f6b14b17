"""What a value of an environment variable must be: pure functions from a rule and a value to what was expected."""

from __future__ import annotations

import base64
import ipaddress
import re
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import urlsplit

from mainstay.inventory.envvars import EnvVar, VariableType
from mainstay.inventory.fields import parse_duration, parse_size

PLACEHOLDER = re.compile(r"<[^<>]*>|your-|your[-_]?domain|change[-_]?me", re.IGNORECASE)
_HOST = re.compile(
    r"(?=.{1,253}$)[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?(\.[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?)*"
)
_BUCKET = re.compile(r"[a-z0-9]([a-z0-9.-]{1,61})[a-z0-9]")
# Fewer different characters than these are not random, whatever the length (EV-02).
LEAST_DIFFERENT = 8


def faults(rule: EnvVar, value: Any, *, production: bool) -> Iterator[str]:
    """What was expected instead, for each rule that the value breaks; nothing for a good value.

    Args:
        rule: the variable's rules.
        value: a YAML scalar, or the text of a secret.
        production: production refuses placeholders, and has constants of its own.
    """
    if not _typed(rule, value):
        yield _EXPECTED[rule.type]
        return
    text = str(value).rstrip("\r\n") if isinstance(value, str) else str(value)
    if rule.required and text == "":
        yield "a value that is not empty"
        return
    yield from _limits(rule, value, text)
    if production:
        yield from _production(rule, value, text)


def _limits(rule: EnvVar, value: Any, text: str) -> Iterator[str]:
    if rule.min_len is not None and len(text) < rule.min_len:
        yield f"at least {rule.min_len} characters, a line break at the end not counted"
    elif rule.secret is not None and rule.min_len is not None and len(set(text)) < LEAST_DIFFERENT:
        yield f"a random value with at least {LEAST_DIFFERENT} different characters"
    if rule.min_bytes and rule.type in ("hex", "base64") and len(_decoded(rule.type, text)) < rule.min_bytes:
        yield f"at least {rule.min_bytes} bytes, as {rule.type}"
    if rule.pattern is not None and not re.fullmatch(rule.pattern, text):
        yield f"text that matches {rule.pattern}"
    if rule.allowed is not None and text not in rule.allowed:
        yield f"one of {', '.join(rule.allowed)}"
    number = number_of(value)
    if number is not None and rule.min is not None and number < rule.min:
        yield f"at least {rule.min:g}"
    if number is not None and rule.max is not None and number > rule.max:
        yield f"at most {rule.max:g}"


def _production(rule: EnvVar, value: Any, text: str) -> Iterator[str]:
    if PLACEHOLDER.search(text):
        yield "a real value in production, no placeholder"
    if text in rule.forbidden:
        yield f"in production none of {', '.join(rule.forbidden)}"
    if rule.forbidden_pattern is not None and re.search(rule.forbidden_pattern, text):
        yield f"in production text without {rule.forbidden_pattern}"
    constant = rule.production_const
    if constant is not None and (type(value) is not type(constant) or value != constant):
        yield f"{str(constant).lower() if isinstance(constant, bool) else constant} in production"


def number_of(value: Any) -> float | int | None:
    """The value as a number, None when it is none."""
    if isinstance(value, bool):
        return None
    if isinstance(value, int | float):
        return value
    return int(value) if isinstance(value, str) and re.fullmatch(r"-?[0-9]{1,18}", value) else None


def _typed(rule: EnvVar, value: Any) -> bool:
    if isinstance(value, str) and ("\0" in value or "\n" in value.rstrip("\r\n")):
        return False
    return _TYPES[rule.type](value)


def _text(accepts: Callable[[str], object]) -> Callable[[Any], bool]:
    """A predicate on text: false, or a ValueError, means no."""

    def predicate(value: Any) -> bool:
        if not isinstance(value, str):
            return False
        try:
            return accepts(value) is not False
        except ValueError:
            return False

    return predicate


def _url(value: str) -> bool:
    """https, or http to this host itself; no slash at the end (EV-06: paths are appended to it)."""
    parts = urlsplit(value)
    secure = parts.scheme == "https" or (parts.scheme == "http" and parts.hostname in ("localhost", "127.0.0.1"))
    clean = not re.search(r"[\s<>\"]", value) and not value.endswith("/")
    return secure and clean and bool(parts.hostname) and parts.port != 0


def _bucket(value: str) -> bool:
    return bool(_BUCKET.fullmatch(value)) and ".." not in value and not re.fullmatch(r"[0-9.]+", value)


def _host(value: str) -> bool:
    try:
        ipaddress.ip_address(value)
    except ValueError:
        return bool(_HOST.fullmatch(value))
    return True


def _decoded(type_: VariableType, text: str) -> bytes:
    """The bytes that the text stands for.

    Raises:
        ValueError: it is not of its type.
    """
    if type_ == "hex":
        return bytes.fromhex(text) if re.fullmatch(r"([0-9a-fA-F]{2})+", text) else _none_of(type_)
    return base64.b64decode(text, validate=True) or _none_of(type_)


def _none_of(type_: str) -> bytes:
    raise ValueError(type_)


def _integer(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


_TYPES: dict[VariableType, Callable[[Any], bool]] = {
    "string": _text(lambda value: True),
    "enum": _text(lambda value: True),
    "int": _integer,
    "float": lambda value: isinstance(value, int | float) and not isinstance(value, bool),
    "bool": lambda value: isinstance(value, bool),
    "port": lambda value: _integer(value) and 1 <= value <= 65535,
    "url": _text(_url),
    "dsn": _text(lambda value: bool(urlsplit(value).scheme and urlsplit(value).hostname)),
    "host": _text(_host),
    "ip": _text(ipaddress.ip_address),
    "bucket": _text(_bucket),
    "hex": _text(lambda value: bool(_decoded("hex", value.rstrip("\r\n")))),
    "base64": _text(lambda value: bool(_decoded("base64", value.rstrip("\r\n")))),
    "duration": _text(parse_duration),
    "size": _text(parse_size),
}

_EXPECTED: dict[VariableType, str] = {
    "string": "text on one line (a number or truth value in quotes)",
    "enum": "text on one line, one of those allowed",
    "int": "a whole number",
    "float": "a number",
    "bool": "true or false",
    "port": "a port between 1 and 65535",
    "url": "an https URL without a slash at the end",
    "dsn": "an address such as postgresql://host/database",
    "host": "a host name or an IP address",
    "ip": "an IP address",
    "bucket": "a bucket name: 3 to 63 lower-case letters, digits, dots and hyphens",
    "hex": "hexadecimal digits, two for each byte",
    "base64": "base64 on one line (openssl's own wraps after 64 characters: -A)",
    "duration": "a duration such as 5s or 5m",
    "size": "a size such as 512mb",
}
