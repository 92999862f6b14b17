"""Whether a command's JSON is what its published schema says: the keywords that docs/json uses, and no other."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parents[1] / "docs" / "json"
_TYPES: dict[str, type | tuple[type, ...]] = {
    "object": dict, "array": list, "string": str, "boolean": bool, "integer": int, "number": (int, float),
    "null": type(None),
}  # fmt: skip
_SAID = {"$schema", "$id", "title", "description", "format", "examples"}
_CHECKED = {
    "type",
    "required",
    "additionalProperties",
    "properties",
    "items",
    "enum",
    "const",
    "minimum",
    "pattern",
    "$ref",
    "$defs",
}


def faults(name: str, value: Any) -> list[str]:
    """What of `value` does not fit `docs/json/<name>.schema.json`; empty where all of it does."""
    schema = json.loads((FOLDER / f"{name}.schema.json").read_text(encoding="utf-8"))
    return _faults(schema, value, "$", schema)


def _faults(schema: dict[str, Any], value: Any, at: str, root: dict[str, Any]) -> list[str]:
    unknown = set(schema) - _SAID - _CHECKED
    assert not unknown, f"{at}: this checker knows nothing of {unknown}"
    if "$ref" in schema:
        schema = root["$defs"][schema["$ref"].removeprefix("#/$defs/")]
    wanted = schema.get("type", [])
    names = [wanted] if isinstance(wanted, str) else wanted
    if names and not any(_is(value, name) for name in names):
        return [f"{at}: {value!r} is no {' or '.join(names)}"]
    found = [f"{at}: {value!r} is not in {schema['enum']}"] if value not in schema.get("enum", [value]) else []
    if value != schema.get("const", value):
        found.append(f"{at}: {value!r} is not {schema['const']!r}")
    if isinstance(value, (int, float)) and value < schema.get("minimum", value):
        found.append(f"{at}: {value!r} is below {schema['minimum']}")
    if isinstance(value, str) and not re.search(schema.get("pattern", ""), value):
        found.append(f"{at}: {value!r} does not match {schema['pattern']}")
    if isinstance(value, dict):
        found += _object(schema, value, at, root)
    if isinstance(value, list):
        for index, item in enumerate(value):
            found += _faults(schema.get("items", {}), item, f"{at}[{index}]", root)
    return found


def _object(schema: dict[str, Any], value: dict[str, Any], at: str, root: dict[str, Any]) -> list[str]:
    found = [f"{at}: no {name}" for name in schema.get("required", []) if name not in value]
    other = schema.get("additionalProperties", True)
    for name, item in value.items():
        own = schema.get("properties", {}).get(name)
        if own is None and other is False:
            found.append(f"{at}: {name} is not in the schema")
        else:
            found += _faults(
                own if own is not None else other if isinstance(other, dict) else {}, item, f"{at}.{name}", root
            )
    return found


def _is(value: Any, name: str) -> bool:
    if isinstance(value, bool):
        return name == "boolean"
    return isinstance(value, _TYPES[name])
