"""Validation that goes on: what is wrong is reported and left out, so that the rest is still checked against itself."""

from __future__ import annotations

import copy
from dataclasses import dataclass, field
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from mainstay.errors import Problem
from mainstay.inventory.problems import location, problems_of
from mainstay.inventory.sources import Sources
from mainstay.inventory.yamlfile import KeyPath, dotted

Model = TypeVar("Model", bound=BaseModel)
_ROUNDS = 12


@dataclass
class Validator:
    """Turns values into models and collects what is wrong with them.

    Attributes:
        problems: the faults so far.
        left_out: the keys that were left out, each as messages write it.
        dropped: whole entries (a host, a service) that lack something required; checks for what is absent would
            complain about these a second time.
    """

    problems: list[Problem] = field(default_factory=list)
    left_out: set[str] = field(default_factory=set)
    dropped: list[KeyPath] = field(default_factory=list)

    def validate(self, model: type[Model], data: Any, sources: Sources, at: KeyPath = ()) -> Model | None:
        """The model of `data`, or of what is left of it without its faults; None when nothing is.

        Args:
            model: what the data should be.
            data: values from the files.
            sources: the files, for the place of a key.
            at: the path of the data in the inventory.
        """
        rest = copy.deepcopy(data)
        for round_ in range(_ROUNDS):
            try:
                return model.model_validate(rest)
            except ValidationError as error:
                if round_ == 0:  # leaving something out can make later rounds complain: no fault of the file
                    self.problems += problems_of(error, model, sources, at)
                if not isinstance(rest, dict) or not self._prune(rest, error, round_, sources, at):
                    break
        self.dropped.append(at)
        return None

    def already_told(self, problem: Problem) -> bool:
        """Whether a problem found later is about a value that was left out, or about what it was left out of."""
        about = problem.key
        return any(key == about or key.rpartition(".")[0] == about for key in self.left_out)

    def _prune(self, data: dict[str, Any], error: ValidationError, round_: int, sources: Sources, at: KeyPath) -> bool:
        """Take out the faulty keys, or the whole entry that cannot do without them; False when there was nothing."""
        changed = False
        holes: list[list[Any]] = []
        for item in error.errors(include_url=False, include_input=False, include_context=False):
            path = location(item)
            if item["type"] == "missing":
                path = path[:-1]
            if item["type"] in ("missing", "found_expected") or round_ > 0:
                self.dropped.append((*at, *path))
            self.left_out.add(dotted(sources.standing((*at, *path))))
            changed = _remove(data, path, holes) or changed
        for items in holes:
            items[:] = [item for item in items if item is not None]
        return changed


def _remove(data: Any, path: KeyPath, holes: list[list[Any]]) -> bool:
    """Delete the value at the path, or the last thing above it that exists; False when that is everything."""
    holder: Any = None
    last: Any = 0
    for key in path:
        known = range(len(data)) if isinstance(data, list) else data if isinstance(data, dict) else ()
        if key not in known:
            break
        holder, last, data = data, key, data[key]
    if isinstance(holder, list):
        holder[last] = None  # the other errors of this round still count by the old indices
        holes.append(holder)
    elif isinstance(holder, dict):
        del holder[last]
    return holder is not None
