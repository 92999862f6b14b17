"""What a built release says of itself, read on the laptop before any host is asked: `ci.json`, its `.env.example`."""

from __future__ import annotations

import json
import re
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mainstay.errors import InventoryError, Problem
from mainstay.inventory import Environment, Service, runtimes

_VARIABLE = re.compile(r"^([A-Z][A-Z0-9_]*)=", re.MULTILINE)


def path_of(environment: Environment, service: str) -> Path | None:
    """The pinned artefact of the service, None where it is not on this laptop."""
    path = environment.root / "artefacts" / environment.releases[service].artefact.file
    return path if path.is_file() else None


def gates(environment: Environment) -> Iterator[str]:
    """A sentence for each gate of the inventory that a pinned release does not pass.

    What is not on this laptop passed when it was brought to the hosts, and they take it from nowhere else.

    Raises:
        InventoryError: an artefact cannot be read.
    """
    for service, release in environment.releases.items():
        path = path_of(environment, service)
        if path is not None:
            for sentence in _gates(environment, _ci(environment, service, path)):
                yield f"{service} {release.version}: {sentence}"


def _gates(environment: Environment, ci: dict[str, Any]) -> Iterator[str]:
    wanted = environment.common.gates
    coverage = ci.get("coverage")
    covered = coverage if isinstance(coverage, int | float) and not isinstance(coverage, bool) else -1
    if wanted.tests and ci.get("tests") != "passed":
        yield f"gates.tests: found {_said(ci, 'tests')}, expected passed"
    if wanted.coverage_min_pct and covered < wanted.coverage_min_pct:
        yield f"gates.coverage_min_pct: found {_said(ci, 'coverage')}, expected at least {wanted.coverage_min_pct}"
    if wanted.changelog and ci.get("changelog") is not True:
        yield f"gates.changelog: found {_said(ci, 'changelog')}, expected true"
    if wanted.secret_scan and ci.get("secret_scan") != "clean":
        yield f"gates.secret_scan: found {_said(ci, 'secret_scan')}, expected clean"
    if wanted.api_backward_compatible and ci.get("api_compat") is not True:
        yield f"gates.api_backward_compatible: found {_said(ci, 'api_compat')}, expected true"


def _said(ci: dict[str, Any], key: str) -> str:
    return f"{key} {json.dumps(ci[key])[:40]}" if key in ci else f"no {key} in its ci.json"


def unset_variables(environment: Environment) -> list[Problem]:
    """A problem for each variable of a release's `.env.example` that the inventory does not have (DP-04, EV-16).

    Raises:
        InventoryError: an artefact cannot be read.
    """
    expected = f"a variable that {environment.common.gates.env_example} of the release names"
    return [
        environment.problem(("services", service, "env_vars", name), "nothing", expected)
        for service, named in _examples(environment)
        for name in named
        if name not in _known(environment.services[service])
    ]


def _known(service: Service) -> set[str]:
    """The variables that the service gets: the inventory's, and those that follow from its limits."""
    return {*service.env_vars, *runtimes.derived(service, cores=1)}


def unnamed_variables(environment: Environment) -> list[str]:
    """A sentence for each service with variables that its release's `.env.example` does not name."""
    found = {
        service: [name for name in environment.services[service].env_vars if name not in named]
        for service, named in _examples(environment)
    }
    example = environment.common.gates.env_example
    return [
        f"{environment.name}: {example} of {service} {environment.releases[service].version} lacks {', '.join(names)}"
        for service, names in found.items()
        if names
    ]


def _examples(environment: Environment) -> Iterator[tuple[str, list[str]]]:
    """Each service whose pinned artefact is here and brings the file, with the variables that it names."""
    example = environment.common.gates.env_example
    for service in environment.releases if example else ():
        path = path_of(environment, service)
        if path is not None and (data := _member(environment, service, path, f"app/{example}")) is not None:
            yield service, _VARIABLE.findall(data.decode(errors="replace"))


def _ci(environment: Environment, service: str, path: Path) -> dict[str, Any]:
    data = _member(environment, service, path, "ci.json")
    try:
        found = json.loads(data) if data is not None else {}
    except ValueError:
        found = {}
    return found if isinstance(found, dict) else {}


def _member(environment: Environment, service: str, path: Path, name: str) -> bytes | None:
    try:
        with tarfile.open(path) as tar:
            stream = tar.extractfile(name) if name in tar.getnames() else None
            return stream.read() if stream is not None else None
    except (OSError, tarfile.TarError, EOFError):
        key = ("releases", service, "artefacts", environment.releases[service].version, "file")
        found = f"artefacts/{path.name}, which is no archive"
        raise InventoryError([environment.problem(key, found, "a tar that a build wrote")]) from None
