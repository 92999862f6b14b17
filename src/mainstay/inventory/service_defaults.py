"""What several services of a system share, said once: `service_defaults`, laid under each service with processes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field, create_model

from mainstay.inventory.fields import StrictModel
from mainstay.inventory.overrides import merge
from mainstay.inventory.schema_walk import as_model
from mainstay.inventory.services import Service
from mainstay.inventory.yamlfile import KeyPath

KEY = "service_defaults"


def _partial(model: type[StrictModel]) -> type[StrictModel]:
    """The model with every key optional, down to the models below it: a part of a service is no whole one."""
    fields: dict[str, Any] = {}
    for name, field in model.model_fields.items():
        below = as_model(field.annotation)
        inner: Any = _partial(below) if below is not None and issubclass(below, StrictModel) else field.annotation
        inner = Annotated[(inner, *field.metadata)] if field.metadata else inner
        extra = field.json_schema_extra
        fields[name] = (inner | None, Field(None, description=field.description, json_schema_extra=extra))
    found: type[StrictModel] = create_model(
        f"{model.__name__}Defaults", __base__=StrictModel, __doc__=model.__doc__, **fields
    )
    return found


if TYPE_CHECKING:  # a type checker takes no variable for a type
    ServiceDefaults = StrictModel
else:
    ServiceDefaults = _partial(Service)


def spread(data: dict[str, Any]) -> dict[str, Any]:
    """The inventory's values with `service_defaults` laid under each service; the service's own keys win."""
    services, defaults = data.get("services"), data.get(KEY)
    if not isinstance(services, dict) or not isinstance(defaults, dict):
        return data
    names = {key[1] for key in heirs(data)}
    laid = {name: merge(defaults, own) if name in names else own for name, own in services.items()}
    return data | {"services": laid}


def heirs(data: dict[str, Any]) -> list[KeyPath]:
    """The paths of the services that `service_defaults` is laid under: all but static ones, which share nothing."""
    services, defaults = data.get("services"), data.get(KEY)
    if not isinstance(services, dict) or not isinstance(defaults, dict):
        return []
    found: list[KeyPath] = []
    for name, own in services.items():
        if isinstance(own, dict) and own.get("kind", defaults.get("kind")) != "static":
            found.append(("services", name))
    return found
