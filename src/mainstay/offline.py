"""What can be known to be wrong with an environment's desired state before any host is asked."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path

from mainstay import artefacts, components, project
from mainstay.errors import InventoryError, Problem
from mainstay.inventory import Environment
from mainstay.secrets.needed import needed_secrets


def check(environment: Environment, names: Iterable[str]) -> None:
    """Renders every file of the hosts `names`, and proves the artefacts that stand on this laptop.

    An artefact that is not here is no fault: hosts that have that release already need it from nobody.

    Raises:
        InventoryError: a template fails, an artefact is not the one that releases.yaml pins, or the release in it
            needs a variable that the inventory does not have.
    """
    for name in names:
        components.rendered(environment, environment.hosts[name])
    problems = [problem for service in environment.releases for problem in _artefact(environment, service)]
    problems += [problem for stem in environment.sections for problem in _files(environment, stem)]
    problems = problems or artefacts.unset_variables(environment)
    if problems:
        raise InventoryError(problems)


def open_secrets(environment: Environment) -> None:
    """Opens every secret that the environment's hosts are given: what cannot be opened must not show half-way.

    Raises:
        SecretError: the environment has no secrets yet, or this operator cannot open one.
    """
    for needed in needed_secrets(environment):
        environment.secrets.get(needed.name).reveal()


def _files(environment: Environment, stem: str) -> list[Problem]:
    """Files of artefacts/ that a component sends by itself, where they are another one than its section pins.

    Its `model.py` names them by a function `pinned(env) -> dict[str, tuple[key, sha256]]`, by their names.
    """
    own = getattr(project.component_model(stem), "pinned", None)
    problems = []
    for name, (key, sha256) in (own(environment) if own is not None else {}).items():
        path = environment.root / "artefacts" / name
        if path.is_file() and (found := _sha256(path)) != sha256:
            told = f"artefacts/{name} with SHA-256 {found}"
            problems.append(environment.problem(key, told, f"{sha256}, as it is pinned"))
    return problems


def _artefact(environment: Environment, service: str) -> list[Problem]:
    release = environment.releases[service]
    path = artefacts.path_of(environment, service)
    if path is None or (found := _sha256(path)) == release.artefact.sha256:
        return []
    key = ("releases", service, "artefacts", release.version, "sha256")
    told = f"artefacts/{path.name} with SHA-256 {found}"
    return [environment.problem(key, told, f"{release.artefact.sha256}, as it is pinned")]


def _sha256(path: Path) -> str:
    with path.open("rb") as data:
        return hashlib.file_digest(data, "sha256").hexdigest()
