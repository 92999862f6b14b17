"""Models against fixed facts: sent once, kept, mended, and never another one than is pinned."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from deploys.operations import models
from facts.ml import ModelFile, ModelState
from mainstay.errors import UsageError
from mainstay.inventory import Environment
from tests.plan.gpu_hosts import GPU, NAME, PATH, released
from tests.plan.harness import Planned, plan


@pytest.fixture
def env(tmp_path: Path) -> Environment:
    return released(tmp_path)


@pytest.fixture
def source(tmp_path: Path) -> Iterator[models.Source]:
    path = tmp_path / "artefacts" / NAME
    path.parent.mkdir()
    path.write_bytes(b"a model")
    yield models.Source(NAME, hashlib.sha256(b"a model").hexdigest(), path)


def place(env: Environment, source: models.Source, state: ModelState) -> Planned:
    facts: dict[type, Any] = {ModelFile: state}
    return plan(models.placed, source, PATH, environment=env, member=env.hosts[GPU], facts=facts)


def state(*kept: str, link: int = 0, untouched: bool = True, mode: int = 0o644) -> ModelState:
    return ModelState(kept[link] if kept else "", untouched, "root", "root", mode, kept)


def test_a_bare_host_is_sent_the_model(env: Environment, source: models.Source) -> None:
    planned = place(env, source, ModelState())
    assert len(planned.commands) == 1 and "send" in planned.commands[0]
    assert planned.said == f"{PATH}: nothing -> SHA-256 {source.sha256[:12]} from {NAME}"


def test_a_model_that_stands_is_left_alone(env: Environment, source: models.Source) -> None:
    assert place(env, source, state(source.sha256)).commands == []


def test_a_model_that_is_kept_takes_no_upload(env: Environment, source: models.Source) -> None:
    assert source.artefact is not None
    source.artefact.unlink()
    planned = place(env, source, state("b" * 64, source.sha256))
    folder = PATH.rpartition("/")[0]
    assert planned.commands == [f"/usr/local/lib/mainstay/install-model r1 {folder} {NAME} {source.sha256} kept"]


def test_one_that_was_changed_by_hand_comes_again(env: Environment, source: models.Source) -> None:
    planned = place(env, source, state(source.sha256, untouched=False))
    assert "send" in planned.commands[0] and "was changed by hand" in planned.said


def test_an_owner_is_mended_without_an_upload(env: Environment, source: models.Source) -> None:
    planned = place(env, source, state(source.sha256, mode=0o666))
    assert planned.commands == [f"chown root:root {PATH} && chmod 0644 {PATH}"]
    assert planned.said == f"{PATH}: root:root 666 -> root:root 644"


def test_an_artefact_that_is_another_one_never_leaves_this_machine(env: Environment, source: models.Source) -> None:
    assert source.artefact is not None
    source.artefact.write_bytes(b"another")
    with pytest.raises(UsageError, match=r"found SHA-256 .*, expected .* as ml\.model\.sha256 pins it"):
        place(env, source, ModelState())
    source.artefact.unlink()
    with pytest.raises(UsageError, match=r"found no file that can be read"):
        place(env, replace(source, sha256="c" * 64), ModelState())
