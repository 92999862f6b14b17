"""JSON Schema of the inventory's files, for editors: what may stand where, and what an environment may set."""

from __future__ import annotations

from typing import Any

from mainstay import project
from mainstay.inventory.releases import Releases
from mainstay.inventory.system import SystemModel

DIALECT = "https://json-schema.org/draft/2020-12/schema"

Schema = dict[str, Any]


def schemas() -> dict[str, Schema]:
    """The schema of `system.yaml`, of `<env>.yaml` and of `releases.yaml`, by the names of their files.

    Raises:
        UsageError: a component's model cannot be imported.
    """
    whole = _whole()
    return {
        "system.json": {"$schema": DIALECT, "title": "system.yaml"} | _shared(whole),
        "environment.json": {"$schema": DIALECT, "title": "staging.yaml, production.yaml"} | _own(whole),
        "releases.json": {"$schema": DIALECT} | Releases.model_json_schema() | {"title": "releases.yaml"},
    }


def _whole() -> Schema:
    """The common schema with every component's section beside it."""
    whole = SystemModel.model_json_schema()
    for stem in project.stems():
        model = project.component_model(stem)
        if model is None:
            continue
        # Two components may both call a part of theirs `User`.
        section = _renamed(model.Section.model_json_schema(), stem)
        whole["$defs"] |= section.pop("$defs", {})
        whole["properties"][stem] = section
    return whole


def _renamed(node: Any, stem: str) -> Any:
    """The schema with each definition's name prefixed by the component's."""
    if isinstance(node, list):
        return [_renamed(item, stem) for item in node]
    if not isinstance(node, dict):
        return node
    found = {key: _renamed(value, stem) for key, value in node.items()}
    if isinstance(found.get("$ref"), str):
        found["$ref"] = found["$ref"].replace("#/$defs/", f"#/$defs/{stem}.")
    if isinstance(found.get("$defs"), dict):
        found["$defs"] = {f"{stem}.{name}": value for name, value in found["$defs"].items()}
    return found


def _shared(node: Any) -> Any:
    """The schema with `per_env` fields no longer required: each environment may give its own."""
    if isinstance(node, list):
        return [_shared(item) for item in node]
    if not isinstance(node, dict):
        return node
    found = {key: _shared(value) for key, value in node.items()}
    properties = found.get("properties")
    if isinstance(properties, dict) and isinstance(found.get("required"), list):
        found["required"] = [name for name in found["required"] if not properties.get(name, {}).get("per_env")]
    return found


def _own(whole: Schema) -> Schema:
    """Only what an environment's file may set; nothing is required, it is laid over system.yaml."""
    definitions = whole["$defs"]
    pruned = _settable(whole, definitions) or {}
    return {"$defs": definitions, **pruned, "required": ["hosts"]}


def _settable(node: Schema, definitions: Schema) -> Schema | None:
    """The part of a schema that holds `per_env` fields, None where there is none."""
    if "$ref" in node:
        return _settable(definitions[node["$ref"].removeprefix("#/$defs/")], definitions)
    if "anyOf" in node:
        parts = [part for part in (_settable(option, definitions) for option in node["anyOf"]) if part]
        return parts[0] if parts else None
    if isinstance(node.get("additionalProperties"), dict):
        below = _settable(node["additionalProperties"], definitions)
        return {"type": "object", "additionalProperties": below} if below else None
    properties = {}
    for name, value in node.get("properties", {}).items():
        kept = value if value.get("per_env") else _settable(value, definitions)
        if kept:
            properties[name] = kept
    return {"type": "object", "additionalProperties": False, "properties": properties} if properties else None
