"""What pydantic found wrong, in Mainstay's words: file, key, what was found, what was expected."""

from __future__ import annotations

import difflib
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from mainstay.errors import Problem
from mainstay.inventory.envvars import SENSITIVE
from mainstay.inventory.fields import is_per_env
from mainstay.inventory.schema_walk import field_of, model_at
from mainstay.inventory.sources import Sources
from mainstay.inventory.yamlfile import KeyPath, dotted

_LONGEST = 80

_EXPECTED = {
    "missing": "a value",
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "int_parsing_size": "a whole number",
    "float_type": "a number",
    "finite_number": "a finite number",
    "bool_type": "true or false",
    "string_type": "text",
    "list_type": "a list",
    "tuple_type": "a list",
    "dict_type": "a mapping of keys to values",
    "model_type": "a mapping of keys to values",
    "greater_than": "more than {gt}",
    "greater_than_equal": "at least {ge}",
    "less_than": "less than {lt}",
    "less_than_equal": "at most {le}",
    "literal_error": "{expected}",
    "too_short": "at least {min_length} of them",
    "too_long": "at most {max_length} of them",
    "string_too_short": "at least {min_length} characters",
    "string_too_long": "at most {max_length} characters",
}


def describe(value: Any, key: KeyPath = ()) -> str:
    """The value as a message shows it: short, with its type where that is the point, never a secret's."""
    if isinstance(value, dict):
        return f"a mapping of {len(value)} keys" if value else "an empty mapping"
    if isinstance(value, list):
        return f"a list of {len(value)}" if value else "an empty list"
    if value is None:
        return "nothing"
    if any(isinstance(part, str) and SENSITIVE.search(part) for part in key[-2:]):
        return "a value that is not shown"
    return _scalar(value)


def _scalar(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return f"the number {value}" if abs(value) < 10**30 else "a huge number"
    text = ascii(value)
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}... ({len(value)} characters)"


def problems_of(error: ValidationError, model: type[BaseModel], sources: Sources, at: KeyPath = ()) -> list[Problem]:
    """Each of pydantic's errors as a problem of the inventory, in the order of the keys.

    Args:
        error: what validation raised.
        model: the model that was validated.
        sources: the files behind the values.
        at: where the validated value stands in the inventory (`("nginx",)` for a section).
    """
    found = [_problem(item, model, sources, at) for item in error.errors(include_url=False)]
    return list(dict.fromkeys(found))


def location(item: ErrorDetails) -> KeyPath:
    """The path of the faulty key; pydantic marks a bad mapping key by a last element `[key]`."""
    loc = tuple(item["loc"])
    return loc[:-1] if loc and loc[-1] == "[key]" else loc


def _problem(item: ErrorDetails, model: type[BaseModel], sources: Sources, at: KeyPath) -> Problem:
    inner = location(item)
    key = (*at, *inner)
    context = item.get("ctx", {})
    if item["type"] == "found_expected":
        where = (*key, *context.get("at", ()))
        return sources.problem(where, str(context["found"]), str(context["expected"]))
    if item["type"] == "extra_forbidden":
        return sources.problem(key, "an unknown key", _known_keys(model, inner))
    if item["type"] == "missing":
        return _missing(model, inner, sources, at)
    if item["type"] == "value_error":
        return sources.problem(key, describe(item["input"], key), str(context["error"]))
    template = _EXPECTED.get(item["type"])
    expected = template.format(**_plain(context)) if template else item["msg"][:1].lower() + item["msg"][1:]
    return sources.problem(key, describe(item["input"], key), expected)


def _plain(context: dict[str, Any]) -> dict[str, Any]:
    """Bounds as people write them: pydantic makes a field's `ge=0` the 0.0 that its type is."""
    whole = {name: int(value) for name, value in context.items() if isinstance(value, float) and value.is_integer()}
    return context | whole


def _missing(model: type[BaseModel], inner: KeyPath, sources: Sources, at: KeyPath) -> Problem:
    """A required key that is absent; at the top, what environments set is expected in the environment's file."""
    key = (*at, *inner)
    owner = model_at(model, inner[:-1])
    field = field_of(owner, str(inner[-1])) if owner is not None else None
    if len(key) == 1 and field is not None and is_per_env(field):
        return Problem(sources.documents[-1].file, dotted(key), "nothing", _EXPECTED["missing"])
    return sources.problem(key, "nothing", _EXPECTED["missing"])


def _known_keys(model: type[BaseModel], key: KeyPath) -> str:
    owner = model_at(model, key[:-1])
    if owner is None:
        return "no such key"
    names = [field.alias or name for name, field in owner.model_fields.items()]
    return expected_key(str(key[-1]), names)


def expected_key(given: str, names: list[str]) -> str:
    """`port`, when that is what was meant; all the keys otherwise."""
    close = difflib.get_close_matches(given, names, n=1)
    return close[0] if close else f"one of {', '.join(sorted(names))}"
