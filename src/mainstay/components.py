"""Which components a host has, in the order they are applied, and the files they manage there."""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Callable, Collection

from mainstay import project
from mainstay.errors import InventoryError
from mainstay.files import ManagedFile
from mainstay.inventory import Environment, Host
from mainstay.tuning import Setting

EVERY_ROLE = "*"


def chosen(environment: Environment, member: Host) -> list[str]:
    """The stems of `deploys/order.py` that apply to the host, in order."""
    project.install()
    order: list[str] = importlib.import_module("deploys.order").ORDER
    return [stem for stem in order if _applies(stem, environment, member)]


def _applies(stem: str, environment: Environment, member: Host) -> bool:
    """By the roles that the component's model names; one without a model is driven by the common schema alone.

    In the lab, what the lab cannot prove is left out; every summary names it.
    """
    if stem in environment.unproven:
        return False
    model = project.component_model(stem)
    if model is None:
        return True
    roles: frozenset[str] = model.ROLES
    return stem in environment.sections and (EVERY_ROLE in roles or bool(roles & set(member.roles)))


def rendered(environment: Environment, member: Host) -> list[ManagedFile]:
    """Every managed file of the host, rendered offline; secrets stand as `<secret NAME@version>`.

    Raises:
        InventoryError: a template names what nothing defines, or two components claim one path.
    """
    found: dict[str, ManagedFile] = {}
    owners: dict[str, str] = {}
    for stem in chosen(environment, member):
        for managed in importlib.import_module(f"deploys.components.{stem}.files").files(environment, member):
            if managed.path in found:
                both = f"{managed.path} managed by {owners[managed.path]} and {stem}"
                raise InventoryError([environment.problem(("hosts", member.name), both, "one component a path")])
            found[managed.path], owners[managed.path] = managed, stem
    return list(found.values())


def turns(environment: Environment, names: Collection[str], ask: Callable[[str, str], str]) -> list[tuple[str, str]]:
    """Roles of which the first takes its turn before the second this time, as the hosts are now.

    A component's `turns.py` tells them by a function of the same name; `ask` is what a command prints on a host.
    """
    project.install()
    stems = [stem for stem in importlib.import_module("deploys.order").ORDER if stem in environment.sections]
    modules = [f"deploys.components.{stem}.turns" for stem in stems]
    found = [importlib.import_module(module) for module in modules if importlib.util.find_spec(module)]
    return [pair for module in found for pair in module.turns(environment, names, ask)]


def tuned(environment: Environment, member: Host) -> dict[str, list[Setting]]:
    """The settings that each component of the host chose for its size, by stem; those that choose none are left out.

    A component's `files.py` names them by a function `tuned(env, host) -> list[Setting]`.
    """
    found: dict[str, list[Setting]] = {}
    for stem in chosen(environment, member):
        own = getattr(importlib.import_module(f"deploys.components.{stem}.files"), "tuned", None)
        settings = own(environment, member) if own is not None else []
        if settings:
            found[stem] = settings
    return found
