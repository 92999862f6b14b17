"""Steps down a model's types by key: which model stands at a path, which keys an environment's file may set."""

from __future__ import annotations

import types
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from mainstay.inventory.yamlfile import KeyPath


def plain(annotation: Any) -> Any:
    """The annotation without `Annotated` and without `| None`."""
    while True:
        if get_origin(annotation) is Annotated:
            annotation = get_args(annotation)[0]
        elif get_origin(annotation) in (Union, types.UnionType):
            members = [member for member in get_args(annotation) if member is not type(None)]
            if len(members) != 1:
                return annotation
            annotation = members[0]
        else:
            return annotation


def as_model(annotation: Any) -> type[BaseModel] | None:
    """The model that the annotation is, None for other types."""
    inner = plain(annotation)
    return inner if isinstance(inner, type) and issubclass(inner, BaseModel) else None


def field_of(model: type[BaseModel], key: str) -> FieldInfo | None:
    """The model's field for a key of the file (its alias, where it has one)."""
    for name, field in model.model_fields.items():
        if (field.alias or name) == key:
            return field
    return None


def child(annotation: Any, key: str | int) -> Any:
    """The type of the value under `key`, None when there is no telling."""
    inner = plain(annotation)
    if isinstance(inner, type) and issubclass(inner, BaseModel):
        field = field_of(inner, str(key))
        return field.annotation if field else None
    arguments = get_args(inner)
    if get_origin(inner) is dict and len(arguments) == 2:
        return arguments[1]
    if get_origin(inner) is list and arguments:
        return arguments[0]
    return None


def model_at(model: type[BaseModel], path: KeyPath) -> type[BaseModel] | None:
    """The model that stands at `path` below `model`, None when another type does."""
    annotation: Any = model
    for key in path:
        annotation = child(annotation, key)
        if annotation is None:
            return None
    return as_model(annotation)
