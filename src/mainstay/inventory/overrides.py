"""An environment's file over the shared one: merged key by key, and only where a field is marked `per_env`."""

from __future__ import annotations

from typing import Any, get_args, get_origin

from mainstay.errors import Problem
from mainstay.inventory.fields import is_per_env
from mainstay.inventory.schema_walk import as_model, child, field_of, plain
from mainstay.inventory.sources import Sources
from mainstay.inventory.yamlfile import KeyPath


def merge(shared: Any, own: Any) -> Any:
    """`own` over `shared`: mappings key by key, everything else replaced."""
    if not (isinstance(shared, dict) and isinstance(own, dict)):
        return own
    merged = {key: merge(value, own[key]) if key in own else value for key, value in shared.items()}
    return merged | {key: value for key, value in own.items() if key not in shared}


def check_overrides(
    own: dict[str, Any], shared: dict[str, Any], models: dict[str, Any], sources: Sources
) -> list[Problem]:
    """A problem for each key of the environment's file that only the shared file may set.

    Args:
        own: what the environment's file holds.
        shared: what `system.yaml` holds.
        models: the type of each key at the top; keys that are not there are left to the model's own message.
        sources: the files, for the place of a key.
    """
    problems: list[Problem] = []
    for key, value in own.items():
        if key in models:
            problems += _check(value, shared.get(key), models[key], (key,), sources)
    return problems


def _check(own: Any, shared: Any, annotation: Any, path: KeyPath, sources: Sources) -> list[Problem]:
    inner = plain(annotation)
    model = as_model(inner)
    if model is None and get_origin(inner) is dict and as_model(get_args(inner)[1]) is not None:
        return _check_entries(own, shared, inner, path, sources)
    if model is None or not isinstance(own, dict):
        return [sources.problem(path, "a value of this environment", "it in system.yaml only: it is not per_env")]
    problems: list[Problem] = []
    below = shared if isinstance(shared, dict) else {}
    for key, value in own.items():
        field = field_of(model, key)
        if field is not None and not is_per_env(field):
            problems += _check(value, below.get(key), field.annotation, (*path, key), sources)
    return problems


def _check_entries(own: Any, shared: Any, annotation: Any, path: KeyPath, sources: Sources) -> list[Problem]:
    """A mapping of names to models: names come from the shared file, per_env fields may be set below them."""
    if not isinstance(own, dict):
        return []
    known = shared if isinstance(shared, dict) else {}
    problems: list[Problem] = []
    for key, value in own.items():
        if key not in known:
            problems.append(sources.problem((*path, key), "an entry that system.yaml lacks", "one that it has"))
        else:
            problems += _check(value, known[key], child(annotation, key), (*path, key), sources)
    return problems
