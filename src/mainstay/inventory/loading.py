"""From files to a checked `Environment`: read, merge, validate part by part, cross-check, and say all that is wrong."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel

from mainstay import project
from mainstay.errors import InventoryError, LabError, Problem, UsageError
from mainstay.inventory import checks, secret_checks, service_defaults, stores
from mainstay.inventory.environment import Environment, Host
from mainstay.inventory.fields import is_per_env
from mainstay.inventory.incident import seconds
from mainstay.inventory.overrides import check_overrides, merge
from mainstay.inventory.problems import expected_key
from mainstay.inventory.releases import Artefact, Release, Releases
from mainstay.inventory.schema_walk import field_of
from mainstay.inventory.services import Service
from mainstay.inventory.sources import Sources
from mainstay.inventory.system import Operator, SystemModel
from mainstay.inventory.validation import Validator
from mainstay.inventory.yamlfile import Document, KeyPath, read

if TYPE_CHECKING:
    from mainstay.lab.overlay import Overlay

ENVIRONMENTS = ("staging", "production")
PINS = "MAINSTAY_PINS"  # set by `verify` for its own process: name=version=sha256, separated by commas


@dataclass
class Draft:
    """What is known of an environment while it is being loaded."""

    root: Path
    env: str
    shared: Document
    own: Document
    pins: Document
    validator: Validator = field(default_factory=Validator)
    under: dict[KeyPath, KeyPath] = field(default_factory=dict)

    @property
    def problems(self) -> list[Problem]:
        """The faults so far."""
        return self.validator.problems

    @property
    def sources(self) -> Sources:
        """The two files whose keys are merged."""
        return Sources([self.shared, self.own], self.under)


def load(
    system: str, env: str, *, root: Path | None = None, lab: str | None = None, check_secrets: bool = True
) -> Environment:
    """The environment, checked.

    Args:
        system: a folder below `inventories/`.
        env: `staging` or `production`.
        root: the project; by default the one around the current folder.
        lab: the lab whose addresses replace the inventory's; None is the real world.
        check_secrets: whether values of the secret store are checked too, where they can be opened; commands that
            mend the store cannot wait for it to be whole.

    Raises:
        InventoryError: all that is wrong with the files.
        LabError: the lab is not up.
    """
    base = root or project.root()
    draft = _read(base, system, env)
    releases = _releases(draft)
    environment = _assemble(draft, releases, system, lab)
    if environment is not None and check_secrets and not draft.validator.dropped:
        report = secret_checks.check(environment)
        draft.problems.extend(report.problems)
        environment.notes.extend(report.notes)
    if draft.problems or environment is None:
        raise InventoryError(_ordered(draft.problems))
    return _as_in_lab(environment)


def _as_in_lab(environment: Environment) -> Environment:
    """Without what the lab was told to do without, hosts and section; the inventory has been checked with both."""
    overlay = environment.lab
    if overlay is None or not overlay.without:
        return environment
    hosts = {name: host for name, host in environment.hosts.items() if not overlay.leaves_out(host.roles)}
    sections = {stem: section for stem, section in environment.sections.items() if stem not in overlay.without}
    return replace(environment, hosts=hosts, sections=sections)


def _read(base: Path, system: str, env: str) -> Draft:
    folder = base / "inventories" / system
    if not re.fullmatch(r"[a-z][a-z0-9-]*", system) or not (folder / "system.yaml").is_file():
        known = ", ".join(project.systems(base)) or "none yet; mainstay init NAME writes one"
        raise InventoryError([Problem(f"inventories/{system}/system.yaml", "", "no such file", f"a system: {known}")])
    if env not in ENVIRONMENTS:
        raise InventoryError([Problem(f"inventories/{system}", "", f"no environment {env!r}", "staging or production")])
    names = ("system.yaml", f"{env}.yaml", "releases.yaml")
    shared, own, pins = (read(folder / name, f"inventories/{system}/{name}") for name in names)
    faults = [problem for document in (shared, own, pins) for problem in document.problems]
    if faults:  # half-read files would only add messages about what the reader left out
        raise InventoryError(faults)
    return Draft(base, env, shared, own, pins)


def _assemble(draft: Draft, releases: Releases | None, system: str, lab: str | None) -> Environment | None:
    """The environment as far as it validates; its faults go into the draft."""
    merged = merge(draft.shared.data, draft.own.data)
    draft.under.update(dict.fromkeys(service_defaults.heirs(merged), (service_defaults.KEY,)))
    merged = service_defaults.spread(merged)
    if "hosts" in draft.shared.data:
        draft.problems.append(Sources([draft.shared]).problem(("hosts",), "hosts", f"them in {draft.env}.yaml"))
    models = _section_models(draft, merged)
    _check_overrides(draft, models)
    common_keys = {key: value for key, value in merged.items() if key not in models}
    common = draft.validator.validate(SystemModel, common_keys, draft.sources)
    sections = {}
    for stem, model in models.items():
        section = draft.validator.validate(model, merged[stem], draft.sources, (stem,))
        if section is not None:
            sections[stem] = section
    if common is None:
        return None
    if common.system != system:
        found, expected = repr(common.system), f"{system}, the name of the folder"
        draft.problems.append(draft.sources.problem(("system",), found, expected))
    environment = _environment(draft, common, sections, releases, lab)
    complete = not draft.validator.dropped
    clashes = checks.run(environment, complete=complete)
    draft.problems.extend(problem for problem in clashes if not draft.validator.already_told(problem))
    return environment


def _section_models(draft: Draft, merged: dict[str, Any]) -> dict[str, type[BaseModel]]:
    """The model of each section at the top; keys that are neither a section nor common are faults."""
    models: dict[str, type[BaseModel]] = {}
    for key in list(merged):
        if field_of(SystemModel, key) is not None:
            continue
        try:
            module = project.component_model(key)
        except UsageError as error:
            draft.problems.append(draft.sources.problem((key,), "a component that fails to load", str(error)))
            merged.pop(key)
            continue
        if module is None:
            known = [*SystemModel.model_fields, *project.stems()]
            draft.problems.append(draft.sources.problem((key,), "an unknown key", expected_key(key, known)))
            merged.pop(key)
        else:
            models[key] = module.Section
    return models


def _check_overrides(draft: Draft, models: dict[str, type[BaseModel]]) -> None:
    types: dict[str, Any] = dict(models)
    for key in draft.own.data:
        common = field_of(SystemModel, key)
        if common is not None and not is_per_env(common):
            types[key] = common.annotation
    shared = service_defaults.spread(draft.shared.data)
    draft.problems.extend(check_overrides(draft.own.data, shared, types, draft.sources))


def _releases(draft: Draft) -> Releases | None:
    sources = Sources([draft.pins])
    releases = draft.validator.validate(Releases, draft.pins.data, sources)
    for name, release in (releases.releases if releases else {}).items():
        if release.version not in release.artefacts:
            expected = f"one of its artefacts: {', '.join(release.artefacts)}"
            draft.problems.append(sources.problem(("releases", name, "version"), release.version, expected))
    return releases


def _pinned(releases: dict[str, Release]) -> dict[str, Release]:
    """The releases as `PINS` has them, where it is set: a rollback proves what it returned to, not what is pinned."""
    for pin in filter(None, os.environ.get(PINS, "").split(",")):
        name, version, sha256 = pin.split("=")
        listed = dict(releases[name].artefacts) if name in releases else {}
        listed.setdefault(version, Artefact(file=f"{name}-{version}.tar", sha256=sha256))
        releases[name] = Release(version=version, artefacts=listed)
    return releases


def _environment(
    draft: Draft, common: SystemModel, sections: dict[str, BaseModel], releases: Releases | None, lab: str | None
) -> Environment:
    overlay = stores.overlay(lab, common.system) if lab else None
    store = stores.secret_store(draft.root, common.system, draft.env)
    return Environment(
        system=common.system,
        env=draft.env,
        common=common,
        hosts=_hosts(common, draft.env, overlay),
        services={name: _named(service, name) for name, service in common.services.items()},
        operators=_operators(common, overlay),
        sections=sections,
        releases=_pinned(dict(releases.releases) if releases else {}),
        secrets=store,
        lab=overlay,
        root=draft.root,
        shared=service_defaults.spread(draft.shared.data),
        sources=Sources([draft.pins, draft.shared, draft.own], draft.under),
        notes=_notes(common),
    )


def _notes(common: SystemModel) -> list[str]:
    """What is allowed and still worth a second look."""
    late = [
        f"severity {name} escalates after its response time (IR-05)"
        for name, severity in common.severity.items()
        if severity.escalation is not None
        and severity.response is not None
        and seconds(severity.escalation.after) > seconds(severity.response)
    ]
    unknown = [f"vendors.{name}: nobody knows whom to ask (IR-18)" for name, who in common.vendors.items() if not who]
    return late + unknown


def _named(service: Service, name: str) -> Service:
    service._name = name
    return service


def _hosts(common: SystemModel, env: str, overlay: Overlay | None) -> dict[str, Host]:
    hosts = {}
    for name, spec in common.hosts.items():
        place = overlay.hosts.get(f"{env}/{name}") if overlay else None
        address, port = (place.address, place.port) if place else (spec.address, spec.ssh_port)
        debian = place.debian if place else spec.debian
        size = (spec.memory, spec.cores, spec.disk)
        hosts[name] = Host(name, address, port, tuple(spec.roles), *size, debian, spec.gpus)
    return hosts


def _operators(common: SystemModel, overlay: Overlay | None) -> dict[str, Operator]:
    """The operators; in the lab each of them has the lab's key too, because theirs are on other laptops."""
    if overlay is None:
        return dict(common.operators)
    public = Path(f"{overlay.key_path}.pub")
    try:
        key = public.read_text(encoding="ascii").strip()
    except (OSError, ValueError) as error:
        raise LabError(f"{public}: found no readable public key, expected the lab's; boot the lab again.") from error
    return {name: Operator(keys=[*operator.keys, key]) for name, operator in common.operators.items()}


def _ordered(problems: list[Problem]) -> list[Problem]:
    """Each problem once, in the order of files and lines."""

    def place(problem: Problem) -> tuple[str, int, str]:
        file, _, line = problem.file.partition(":")
        return file, int(line) if line.isdigit() else 0, problem.key

    return sorted(dict.fromkeys(problems), key=place)
