"""What a built release says of itself: the gates of production, and the variables that it names."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from mainstay import artefacts
from mainstay.engine import gate
from mainstay.errors import InventoryError
from mainstay.inventory import Environment
from tests.unit.inventories import SHIPPED, SYSTEM, Edit, copied, loaded
from tests.unit.releases import EXAMPLE, built
from workload.build import CI


def released(folder: Path, ci: Any = CI, example: str = EXAMPLE, *edits: Edit) -> Environment:
    """Production, with that release pinned."""
    root = copied(folder, *edits)
    built(root, ci, example)
    return loaded(root)


def test_a_release_that_passes_everything(tmp_path: Path) -> None:
    env = released(tmp_path)
    assert list(artefacts.gates(env)) == []
    assert artefacts.unset_variables(env) == []
    assert artefacts.unnamed_variables(env) == []


@pytest.mark.covers("DP-01", "DP-02", "DP-05")
@pytest.mark.parametrize(
    ("said", "sentence"),
    [
        ({"tests": "failed"}, 'gates.tests: found tests "failed", expected passed'),
        ({"coverage": 79.9}, "gates.coverage_min_pct: found coverage 79.9, expected at least 80"),
        ({"api_compat": False}, "gates.api_backward_compatible: found api_compat false, expected true"),
        ({"secret_scan": "2 found"}, 'gates.secret_scan: found secret_scan "2 found", expected clean'),
    ],
)
def test_a_release_that_does_not_pass_is_refused_by_the_gate_s_name(
    tmp_path: Path, said: dict[str, Any], sentence: str
) -> None:
    assert gate.shut(released(tmp_path, CI | said), {}).startswith(f"backend 1.2.0: {sentence}; ")


@pytest.mark.parametrize("ci", [{"changelog": False}, {"changelog": "yes"}, {"changelog": None}])
def test_a_changelog_that_does_not_name_the_version_is_refused_where_it_counts(tmp_path: Path, ci: Any) -> None:
    edit = ("system.yaml", "secret_scan: true", "secret_scan: true\n  changelog: true")
    said = json.dumps(ci["changelog"])
    assert list(artefacts.gates(released(tmp_path / "no", CI | ci, EXAMPLE, edit))) == [
        f"backend 1.2.0: gates.changelog: found changelog {said}, expected true"
    ]
    assert list(artefacts.gates(released(tmp_path / "yes", CI | {"changelog": True}, EXAMPLE, edit))) == []


@pytest.mark.covers("DP-02")
def test_the_least_coverage_is_enough(tmp_path: Path) -> None:
    assert list(artefacts.gates(released(tmp_path, CI | {"coverage": 80.0}))) == []


@pytest.mark.covers("DP-05")
@pytest.mark.parametrize("ci", [{}, [], "x", {"tests": True, "coverage": True, "secret_scan": 1, "api_compat": "true"}])
def test_what_says_nothing_passes_nothing(tmp_path: Path, ci: Any) -> None:
    found = [sentence.split(": ")[1] for sentence in artefacts.gates(released(tmp_path, ci))]
    assert found == [
        "gates.tests",
        "gates.coverage_min_pct",
        "gates.secret_scan",
        "gates.api_backward_compatible",
    ]


def test_only_gates_that_the_inventory_names_count(tmp_path: Path) -> None:
    off = [
        ("system.yaml", "tests: ['npm run test:run', pytest]", "tests: []"),
        ("system.yaml", "coverage_min_pct: 80", "coverage_min_pct: 0"),
        ("system.yaml", "api_backward_compatible: true", "api_backward_compatible: false"),
        ("system.yaml", "secret_scan: true", "secret_scan: false"),
        ("system.yaml", "  env_example: .env.example\n", ""),
    ]
    env = released(tmp_path, {}, "OTHER=\n", *off)
    assert list(artefacts.gates(env)) == []
    assert artefacts.unset_variables(env) == []


@pytest.mark.covers("DP-04")
def test_a_variable_that_the_inventory_lost_is_named(tmp_path: Path) -> None:
    lines = (SHIPPED / SYSTEM / "system.yaml").read_text().splitlines(keepends=True)
    line = next(line for line in lines if line.strip().startswith("KIE_API_KEY: {secret"))
    env = released(tmp_path, CI, EXAMPLE, ("system.yaml", line, ""))
    (problem,) = artefacts.unset_variables(env)
    assert problem.key == "services.backend.env_vars.KIE_API_KEY"
    assert (problem.found, problem.expected) == ("nothing", "a variable that .env.example of the release names")


def test_a_variable_that_no_release_names_is_a_note(tmp_path: Path) -> None:
    example = EXAMPLE.replace("KIE_BASE_URL=", "# KIE_BASE_URL=").replace("APP_HOST=", "#")
    env = released(tmp_path, CI, example)
    assert artefacts.unnamed_variables(env) == [
        "everydayai/production: .env.example of backend 1.2.0 lacks KIE_BASE_URL, APP_HOST"
    ]


def test_what_is_not_on_this_laptop_is_no_fault(tmp_path: Path) -> None:
    env = released(tmp_path, {})
    path = artefacts.path_of(env, "backend")
    assert path
    path.unlink()
    assert list(artefacts.gates(env)) == []
    assert artefacts.unset_variables(env) == []


@pytest.mark.parametrize("data", [b"", b"no tar", b"\x1f\x8b\x08broken"])
def test_an_artefact_that_is_no_archive_is_one_sentence(tmp_path: Path, data: bytes) -> None:
    env = released(tmp_path)
    path = artefacts.path_of(env, "backend")
    assert path
    path.write_bytes(data)
    with pytest.raises(InventoryError, match=r"backend-1\.2\.0\.tar, which is no archive, expected a tar that a build"):
        list(artefacts.gates(env))
