"""Cross-checks of `release`, `admin_api`, `checklists` and `legacy_names`: what they name is there, and once."""

from __future__ import annotations

from collections.abc import Iterator

from mainstay.errors import Problem
from mainstay.inventory.environment import Environment
from mainstay.inventory.release_process import ReleaseProcess
from mainstay.inventory.yamlfile import KeyPath


def clashes(env: Environment) -> Iterator[Problem]:
    """Steps that stand twice, a canary that is asked once, a step of which skipping is both allowed and forbidden."""
    release = env.common.release
    yield from _once(env, ("release", "order"), list(release.order))
    yield from _once(env, ("release", "pipeline"), release.pipeline)
    for name, steps in env.common.checklists.items():
        yield from _once(env, ("checklists", name), steps)
    canary = release.canary
    if canary is None and release.strategy == "canary":
        yield env.problem(("release", "canary"), "nothing", "pct, watch and the rest, which the strategy canary needs")
    if canary is not None and canary.poll >= canary.watch:
        found = f"{canary.poll:g} s, while it is watched for {canary.watch:g} s"
        yield env.problem(("release", "canary", "poll"), found, "a shorter time")
    yield from _hotfix(env, release)


def _hotfix(env: Environment, release: ReleaseProcess) -> Iterator[Problem]:
    hotfix = release.hotfix
    if hotfix is None:
        return
    for key, steps in (("may_skip", hotfix.may_skip), ("never_skip", hotfix.never_skip)):
        for index, step in enumerate(steps):
            if step not in release.pipeline:
                expected = f"a step of release.pipeline: {', '.join(release.pipeline) or 'none'}"
                yield env.problem(("release", "hotfix", key, index), repr(step), expected)
    for index, step in enumerate(hotfix.may_skip):
        if step in hotfix.never_skip:
            found = f"{step!r}, which never_skip names too"
            yield env.problem(("release", "hotfix", "may_skip", index), found, "a step in one of the two")


def _once(env: Environment, key: KeyPath, names: list[str]) -> Iterator[Problem]:
    for index, name in enumerate(names):
        if name in names[:index]:
            yield env.problem((*key, index), f"{name!r} again", "each once")


def references(env: Environment) -> Iterator[Problem]:
    """Services, secrets and old names of what is not there."""
    for index, name in enumerate(env.common.release.order):
        if name not in env.services:
            yield env.problem(("release", "order", index), repr(name), f"one of {', '.join(env.services)}")
    for name, api in env.common.admin_api.items():
        service = env.services.get(name)
        if service is None or service.kind == "static":
            yield env.problem(("admin_api", name), repr(name), "a service that listens on a port")
        elif api.token not in {rule.secret for rule in service.env_vars.values()}:
            expected = f"a secret that a variable of {name} holds"
            yield env.problem(("admin_api", name, "token"), "one that the service does not have", expected)
    secrets = {rule.secret for service in env.services.values() for rule in service.env_vars.values() if rule.secret}
    for old, name in env.common.legacy_names.items():
        if name not in env.services and name not in env.sections and name not in secrets:
            expected = "a service, a section, or a secret of services"
            yield env.problem(("legacy_names", old), repr(name), expected)
