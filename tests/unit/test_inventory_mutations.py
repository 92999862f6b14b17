"""Whatever is done to an inventory, loading it ends with a list of problems or with an environment, never otherwise."""

from __future__ import annotations

import copy
import tempfile
from pathlib import Path
from typing import Any

import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mainstay import components
from mainstay.change import change
from mainstay.errors import InventoryError
from mainstay.inventory import load
from mainstay.inventory.checks import unused
from tests.unit.inventories import SHIPPED, SYSTEMS, copied

FILES = ("system.yaml", "staging.yaml", "production.yaml", "releases.yaml")
TEXTS = {system: {name: (SHIPPED / system / name).read_text(encoding="utf-8") for name in FILES} for system in SYSTEMS}
RELEASE = {"version": "1.0.0", "artefacts": {"1.0.0": {"file": "a.tar", "sha256": "0" * 64}}}


def _values(texts: dict[str, str]) -> dict[str, Any]:
    """The four files, with a release of every service."""
    found = {name: yaml.safe_load(text) for name, text in texts.items()}
    found["releases.yaml"] = {"releases": dict.fromkeys(found["system.yaml"]["services"], RELEASE)}
    return found


VALUES = {system: _values(texts) for system, texts in TEXTS.items()}

Path_ = tuple[str | int, ...]


def _paths(value: Any, at: Path_ = ()) -> list[Path_]:
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path for key, below in items for path in ((*at, key), *_paths(below, (*at, key)))]


PLACES = {
    system: [(name, path) for name, value in values.items() for path in _paths(value)]
    for system, values in VALUES.items()
}
ODD_TEXT = st.text(max_size=20) | st.sampled_from(
    ["", " ", "\u202e", "é" * 300, "{0}", "%s", "../..", "{port", "\x7f", "ﬀ"]
)
SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | ODD_TEXT
ODD = (
    SCALARS
    | st.sampled_from([10**400, -(10**30), 0, -1, 2**63, 65536, 1e308])
    | st.recursive(
        SCALARS, lambda below: st.lists(below, max_size=4) | st.dictionaries(ODD_TEXT, below, max_size=4), max_leaves=12
    )
)


def _nested(depth: int) -> Any:
    value: Any = "deep"
    for _ in range(depth):
        value = [value] if depth % 2 else {"a": value}
    return value


@st.composite
def _mutated(draw: st.DrawFn) -> tuple[str, dict[str, str]]:
    """A system and its four files, with one to four mutations of their values."""
    system = draw(st.sampled_from(SYSTEMS))
    values = copy.deepcopy(VALUES[system])
    for _ in range(draw(st.integers(1, 4))):
        name, path = draw(st.sampled_from(PLACES[system]))
        holder = values[name]
        for key in path[:-1]:
            if not _has(holder, key):
                break
            holder = holder[key]
        else:
            _mutate(draw, holder, path[-1])
    dumped = {name: yaml.safe_dump(value, allow_unicode=True, sort_keys=False) for name, value in values.items()}
    return system, dumped


def _has(holder: Any, key: str | int) -> bool:
    """Whether the place is still there: a mutation before this one may have put something else where it was."""
    if isinstance(holder, list):
        return isinstance(key, int) and key < len(holder)
    return isinstance(holder, dict) and key in holder


def _mutate(draw: st.DrawFn, holder: Any, key: str | int) -> None:
    if not _has(holder, key):
        return
    how = draw(st.sampled_from(["delete", "replace", "rename", "nest", "copy"]))
    if how == "delete":
        del holder[key]
    elif how == "replace":
        holder[key] = draw(ODD)
    elif how == "nest":
        holder[key] = _nested(draw(st.sampled_from([1, 2, 30, 45])))
    elif isinstance(holder, list):
        holder.append(copy.deepcopy(holder[key]))
    elif how == "rename":
        holder[draw(ODD_TEXT)] = holder.pop(key)
    else:
        holder[draw(ODD_TEXT | st.sampled_from(sorted(map(str, holder))))] = copy.deepcopy(holder[key])


@st.composite
def _garbled(draw: st.DrawFn) -> tuple[str, dict[str, str]]:
    """A system and its four files, one of them with its text cut, doubled or written over."""
    system = draw(st.sampled_from(SYSTEMS))
    texts = dict(TEXTS[system])
    name = draw(st.sampled_from(FILES))
    text = texts[name]
    start = draw(st.integers(0, len(text)))
    end = draw(st.integers(start, min(len(text), start + 200)))
    middle = draw(st.sampled_from(["", text[start:end] * 2]) | st.text(max_size=10))
    texts[name] = text[:start] + middle + text[end:]
    return system, texts


def _survives(system: str, texts: dict[str, str]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        root = copied(Path(folder), system=system)
        for name, text in texts.items():
            (root / "inventories" / system / name).write_bytes(text.encode("utf-8", "surrogatepass"))
        for name in ("staging", "production"):
            try:
                env = load(system, name, root=root)
            except InventoryError as error:
                assert error.problems
                assert all(problem.found and problem.expected for problem in error.problems)
                assert all(len(str(problem)) < 2000 for problem in error.problems)
                continue
            unused(env)
            change(env)
            for host in env.hosts.values():
                components.rendered(env, host)
                env.listeners(host)
                for service in env.services_on(host):
                    env.env_vars(service, host)
                    service.command("%i")


RUNS = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@RUNS
@given(_mutated())
def test_mutated_values(case: tuple[str, dict[str, str]]) -> None:
    _survives(*case)


@RUNS
@given(_garbled())
def test_garbled_text(case: tuple[str, dict[str, str]]) -> None:
    _survives(*case)
