"""JSON Schema: the committed files are current, marks are there, environments see only what they may set."""

from __future__ import annotations

import json
from typing import Any

import pytest

from mainstay.inventory.schema import schemas
from tests.unit.inventories import SHIPPED


@pytest.fixture(scope="module")
def current() -> dict[str, Any]:
    return schemas()


def test_the_committed_schemas_are_current(current: dict[str, Any]) -> None:
    for name, schema in current.items():
        text = (SHIPPED / "schema" / name).read_text(encoding="utf-8")
        assert json.loads(text) == schema, "run: mainstay schema --out inventories/schema"


def test_per_env_fields_are_marked_and_not_required(current: dict[str, Any]) -> None:
    system = current["system.json"]
    assert system["properties"]["domain"]["per_env"] is True
    assert "per_env" not in system["properties"]["services"]
    assert "domain" not in system["required"]
    assert "hosts" not in system["required"]
    assert "services" in system["required"]


def test_an_environment_may_set_per_env_fields_only(current: dict[str, Any]) -> None:
    own = current["environment.json"]
    service = own["properties"]["services"]["additionalProperties"]
    assert "workers" in service["properties"]
    assert "port" not in service["properties"]
    assert service["properties"]["env_vars"]["additionalProperties"]["properties"].keys() == {"value"}
    assert "policy" not in own["properties"]["redis"]["properties"]
    assert own["required"] == ["hosts"]


def test_every_reference_has_its_definition(current: dict[str, Any]) -> None:
    for schema in current.values():
        for name in _references(schema):
            assert name in schema["$defs"]


def _references(node: Any) -> list[str]:
    if isinstance(node, list):
        return [name for item in node for name in _references(item)]
    if not isinstance(node, dict):
        return []
    own = [node["$ref"].removeprefix("#/$defs/")] if isinstance(node.get("$ref"), str) else []
    return own + [name for value in node.values() for name in _references(value)]
