"""Validation that goes on: what is wrong is reported and left out, so that the rest is still checked against itself."""

from __future__ import annotations

import copy
from dataclasses import dataclass, field
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from mainstay.errors import Problem
from mainstay.inventory.problems import location, problems_of
from mainstay.inventory.sources import Sources
from mainstay.inventory.yamlfile import KeyPath

Model = TypeVar("Model", bound=BaseModel)
_ROUNDS = 12


@dataclass
class Pruned:
    """What validation had to leave out.

    Attributes:
        elements: whole entries (a host, a service) that lack something required; checks for what is absent would
            complain about these a second time.
    """

    elements: list[KeyPath] = field(default_factory=list)


def validate(
    model: type[Model], data: Any, sources: Sources, at: KeyPath, problems: list[Problem], pruned: Pruned
) -> Model | None:
    """The model of `data`, or of what is left of it without its faults, which are added to `problems`.

    Args:
        model: what the data should be.
        data: values from the files.
        sources: the files, for the place of a key.
        at: the path of the data in the inventory.
        problems: receives the faults.
        pruned: receives what was left out.
    """
    rest = data
    for round_ in range(_ROUNDS):
        try:
            return model.model_validate(rest)
        except ValidationError as error:
            found = problems_of(error, model, sources, at)
            # Leaving something out can make the next round complain about its absence: no fault of the file.
            problems += found if round_ == 0 else []
            if not isinstance(rest, dict):
                return None
            rest = copy.deepcopy(rest) if round_ == 0 else rest
            if not _prune(rest, error, round_, at, pruned):
                return None
        except RecursionError:
            problems.append(sources.problem(at, "values nested too deeply", "fewer levels"))
            return None
    return None


def _prune(data: dict[str, Any], error: ValidationError, round_: int, at: KeyPath, pruned: Pruned) -> bool:
    """Take out the faulty keys; an entry whole when a key that it must have is faulty. False when nothing was left out."""
    changed = False
    holes: list[list[Any]] = []
    for item in error.errors(include_url=False, include_input=False, include_context=False):
        path = location(item)
        if item["type"] == "missing":
            path = path[:-1]
        if item["type"] in ("missing", "found_expected") or round_ > 0:
            pruned.elements.append((*at, *path))
        changed = _remove(data, path, holes) or changed
    for items in holes:
        items[:] = [item for item in items if item is not None]
    return changed


def _remove(data: Any, path: KeyPath, holes: list[list[Any]]) -> bool:
    """Delete the value at the path, or the last thing above it that exists; False when that is everything."""
    holder = None
    for key in path:
        inside = key in data if isinstance(data, dict) else isinstance(data, list) and key in range(len(data))
        if not inside:
            break
        holder, last, data = data, key, data[key]
    if holder is None:
        return False
    if isinstance(holder, list):
        holder[last] = None  # the other errors of this round still count by the old indices
        holes.append(holder)
        return True
    del holder[last]
    return True
