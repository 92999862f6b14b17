"""Releases as they stand on the hosts: the pinned one complete and current, nothing in it that does not belong."""

from __future__ import annotations

import shlex
from typing import Any

import pytest

from deploys.components.release.files import base_of
from facts.distributions import Distributions, parse_installed
from facts.release import Releases, ReleaseState, parse_releases
from mainstay.inventory import Environment, Host, Service

_MISSING_LIBRARIES = """
const { dependencies = {} } = require("./package.json");
const lacking = (name) => !require("fs").existsSync(`node_modules/${name}/package.json`);
process.stdout.write(Object.keys(dependencies).filter(lacking).join(", "));
"""
ON_HOSTS = pytest.mark.roles("web", "app", "ml")


@pytest.fixture(scope="module")
def released(environment: Environment, member: Host) -> list[Service]:
    """The host's services that have a release pinned."""
    return [service for service in environment.services_on(member) if service.name in environment.releases]


@pytest.fixture(scope="module")
def states(host: Any, environment: Environment, released: list[Service]) -> dict[str, ReleaseState]:
    """What stands below each service's folder."""
    found = {}
    for service in released:
        command = Releases().command(base_of(environment, service))
        found[service.name] = parse_releases(host.check_output(command).splitlines())
    return found


@ON_HOSTS
@pytest.mark.covers("DP-11", "DP-19", "DF-56")
def test_pinned_release_is_current(environment: Environment, states: dict[str, ReleaseState]) -> None:
    for name, state in states.items():
        pin = environment.releases[name]
        assert state.current == pin.version, f"{name}: current is {state.current or 'nothing'}, pinned is {pin.version}"
        assert state.installed.get(pin.version) == pin.artefact.sha256, f"{name} {pin.version} is from another artefact"


@ON_HOSTS
@pytest.mark.covers("DF-51")
def test_release_before_is_there_to_return_to(states: dict[str, ReleaseState]) -> None:
    for name, state in states.items():
        gone = state.previous and state.previous not in state.installed
        assert not gone, f"{name}: previous names {state.previous}, which is not on the host"


@ON_HOSTS
def test_old_releases_do_not_pile_up(released: list[Service], states: dict[str, ReleaseState]) -> None:
    for service in released:
        found = len(states[service.name].installed)
        # The current one, the one before and the one that was just replaced may be older than the newest ones.
        assert found <= service.keep_releases + 2, f"{service.name}: {found} releases, {service.keep_releases} are kept"


@ON_HOSTS
@pytest.mark.covers("DP-33", "DF-59")
def test_virtual_environment_is_whole(host: Any, environment: Environment, released: list[Service]) -> None:
    for service in released:
        if service.kind == "python":
            python = f"{base_of(environment, service)}/current/venv/bin/python"
            installed = parse_installed(host.run(Distributions().command(python)).stdout.splitlines())
            assert installed.versions, f"{service.name}: {python} does not run, or sees no package"
            assert not installed.unmet, f"{service.name}: {installed.unmet[0]}"


@ON_HOSTS
def test_program_of_the_release_is_there(host: Any, environment: Environment, released: list[Service]) -> None:
    """What `exec` starts, and for Node every library that its package.json names."""
    for service in released:
        program = service.command(0).split(" ", 1)[0]
        if program:
            path = program if program.startswith("/") else f"{base_of(environment, service)}/current/{program}"
            assert host.run(f"test -x {shlex.quote(path)}").rc == 0, f"{service.name}: {path} cannot be started"
        if service.kind == "node":
            app = f"{base_of(environment, service)}/current/app"
            missing = host.check_output(f"cd {shlex.quote(app)} && node -e {shlex.quote(_MISSING_LIBRARIES)}")
            assert not missing, f"{service.name}: {app}/node_modules lacks {missing}"


@ON_HOSTS
@pytest.mark.covers("DF-59")
def test_releases_hold_no_settings_and_are_root_s(host: Any, environment: Environment, released: list[Service]) -> None:
    for service in released:
        folder = shlex.quote(f"{base_of(environment, service)}/releases")
        settings = r"\( -name .env -o -name '.env.*' ! -name .env.example -o -name '*.log' -o -name .git \)"
        writable = r"\( ! -user root -o ! -type l -perm /022 \)"
        for what, test in (("holds", settings), ("can be changed by others than root:", writable)):
            found = host.check_output(f"find {folder} {test} -print -quit")
            assert not found, f"{service.name} {what} {found}"
