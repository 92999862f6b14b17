"""Packages: what is missing is installed, and what Debian starts then is journalled before it is there."""

from __future__ import annotations

import inspect
import shlex
from importlib import import_module

import pytest

from deploys.operations import packages
from deploys.order import ORDER
from facts.packages import MissingPackages
from mainstay.inventory import Environment
from tests.plan.harness import plan
from tests.unit.inventories import copied, loaded


@pytest.fixture(scope="module")
def env(tmp_path_factory: pytest.TempPathFactory) -> Environment:
    return loaded(copied(tmp_path_factory.mktemp("project")))


def planned(env: Environment, missing: list[str], run: str | None = "r1") -> list[str]:
    member = next(iter(env.hosts.values()))
    facts = {MissingPackages: missing}
    wanted, units = ["a", "b c"], ["a.service", "b@1.service"]
    return plan(packages.present, wanted, units, environment=env, member=member, facts=facts, run=run).commands


def test_units_are_journalled_before_their_package_is_there(env: Environment) -> None:
    *journalled, update, install = planned(env, ["b c"])
    assert update == packages.CURRENT
    assert journalled == [f"{packages.KIT}/journal unit r1 {unit}" for unit in ("a.service", "b@1.service")]
    *held, script = shlex.split(install)
    assert held == [f"{packages.KIT}/hold-units", "a.service", "b@1.service", "--", "sh", "-c"]
    assert script.startswith(f"{packages.APT} install --no-install-recommends 'b c' || ")


def test_without_a_run_nothing_is_journalled_and_without_a_lack_nothing_is_done(env: Environment) -> None:
    assert len(planned(env, ["a"], run=None)) == 2
    assert planned(env, []) == []


def test_what_is_fetched_ahead_is_not_installed(env: Environment) -> None:
    member = next(iter(env.hosts.values()))

    def fetched(missing: list[str]) -> list[str]:
        facts = {MissingPackages: missing}
        return plan(packages.fetched, ["a", "b c"], environment=env, member=member, facts=facts).commands

    update, download = fetched(["b c"])
    assert update == packages.CURRENT
    assert download.startswith(f"{packages.APT} install --download-only --no-install-recommends 'b c' || ")
    assert fetched([]) == []


def test_no_component_installs_packages_by_itself(env: Environment) -> None:
    """What a component names as its `needs` is fetched ahead on every host, and installed with all others at once."""
    for stem in ORDER:
        assert "packages.present(" not in inspect.getsource(import_module(f"deploys.components.{stem}.deploy")), stem
