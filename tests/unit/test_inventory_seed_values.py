"""What the shipped inventories say, value by value, against what a person read in the five runbooks."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from mainstay.inventory import ENVIRONMENTS, Environment, load
from tests.unit.inventories import SYSTEMS, copied
from tests.unit.seed_values import BOTH, STAGING

Loader = Callable[[str, str], Environment]

ROWS = [
    (system, env, path, STAGING[system].get(path, value) if env == "staging" else value)
    for system, table in BOTH.items()
    for env in ENVIRONMENTS
    for path, value in table.items()
]


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Loader:
    """Each environment of each system, loaded once."""
    root: Callable[[str], Path] = cache(lambda system: copied(tmp_path_factory.mktemp(system), system=system))
    return cache(lambda system, env: load(system, env, root=root(system)))


@pytest.mark.parametrize(
    ("system", "env", "path", "expected"), ROWS, ids=[f"{system}/{env} {path}" for system, env, path, _ in ROWS]
)
def test_a_value_is_the_runbook_s_or_the_one_that_was_decided(
    environment: Loader, system: str, env: str, path: str, expected: Any
) -> None:
    found = at(environment(system, env), path)
    assert found == expected, f"{system}/{env}: {path}: found {found!r}, expected {expected!r}"


def test_every_system_has_a_table_and_staging_differs_in_what_is_in_it() -> None:
    assert sorted(BOTH) == SYSTEMS
    for system, table in STAGING.items():
        assert table.keys() <= BOTH[system].keys()
        assert not [path for path, value in table.items() if value == BOTH[system][path]]


def at(environment: Environment, path: str) -> Any:
    """The value at a path, as plain lists and dictionaries; of a section what its inventory says, without defaults."""
    first, _, rest = path.partition(".")
    match first:
        case "hosts":
            return len(environment.hosts_of(rest))
        case "in_all":
            name, key = rest.split(".")
            service = environment.services[name]
            return len(environment.hosts_of(service.role)) * getattr(service.instances, key)
        case "told":
            name, key = rest.split(".")
            service = environment.services[name]
            return environment.env_vars(service, environment.hosts_of(service.role)[0])[key]
        case "services":
            found: Any = environment.services
        case section if section in environment.sections:
            found = environment.sections[section]
        case key:
            found = getattr(environment.common, key)
    for part in filter(None, rest.split(".")):
        found = _below(found, part)
    return _plain(found)


def _below(found: Any, part: str) -> Any:
    if isinstance(found, list):
        return found[int(part)]
    return found[part] if isinstance(found, dict) or not isinstance(found, BaseModel) else getattr(found, part)


def _plain(found: Any) -> Any:
    if isinstance(found, BaseModel):
        return found.model_dump(by_alias=True, exclude_unset=True)
    if isinstance(found, dict):
        return {key: _plain(value) for key, value in found.items()}
    return [_plain(value) for value in found] if isinstance(found, list) else found
