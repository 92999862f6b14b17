"""One environment of a system, checked: what deploys, facts, rendering and the engine read."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, TypeVar, overload

from pydantic import BaseModel

from mainstay.errors import InventoryError, Problem
from mainstay.inventory.listeners import Listener, listeners_on
from mainstay.inventory.releases import Release
from mainstay.inventory.runtimes import derived
from mainstay.inventory.services import Service
from mainstay.inventory.sources import Sources
from mainstay.inventory.system import Operator, SystemModel
from mainstay.inventory.variables import value_of
from mainstay.secrets import SecretStore

if TYPE_CHECKING:
    from mainstay.lab.overlay import Overlay

Section = TypeVar("Section", bound=BaseModel)


@dataclass(frozen=True)
class Host:
    """A host as the inventory declares it; in the lab, `address`, `ssh_port` and `debian` are the lab's."""

    name: str
    address: str
    ssh_port: int
    roles: tuple[str, ...]
    memory: int
    cores: int
    disk: int
    debian: int
    gpus: int = 0

    def to_json(self) -> str:
        """What `pyinfra ... debug-inventory` shows for it."""
        return repr(self)


@dataclass(frozen=True, eq=False, repr=False)
class Environment:
    """The checked description of one environment; everything that is rendered comes from here.

    Attributes:
        common: the common schema, with what is not named here (thresholds, windows, gates, rollout ...).
        releases: by service; a service without one is not deployed yet.
        lab: where the lab put the hosts, None in the real world.
        shared: the values of `system.yaml` alone, before the environment's own were laid over them.
        notes: what is allowed and worth saying, and checks that could not run.
    """

    system: str
    env: str
    common: SystemModel
    hosts: dict[str, Host]
    services: dict[str, Service]
    operators: dict[str, Operator]
    sections: dict[str, BaseModel]
    releases: dict[str, Release]
    secrets: SecretStore
    lab: Overlay | None
    root: Path
    shared: dict[str, Any]
    sources: Sources
    notes: list[str] = field(default_factory=list)

    @property
    def name(self) -> str:
        """`system/env`, as commands take it."""
        return f"{self.system}/{self.env}"

    @property
    def description(self) -> str:
        """What the system is, in a few words."""
        return self.common.description

    @property
    def domain(self) -> str:
        """The site's name in this environment."""
        return self.common.domain

    @property
    def api_domain(self) -> str:
        """The name of the API; the site's own where there is none of its own."""
        return self.common.api_domain or self.common.domain

    @property
    def bootstrap_user(self) -> str:
        """The image's own user, for the first contact with a host."""
        return self.common.bootstrap_user

    @overload
    def section(self, stem: str) -> BaseModel: ...

    @overload
    def section(self, stem: str, model: type[Section]) -> Section: ...

    def section(self, stem: str, model: type[BaseModel] = BaseModel) -> BaseModel:
        """The component's section.

        Args:
            stem: the component.
            model: its `Section`, for a result of that type.

        Raises:
            InventoryError: when the inventory has none.
        """
        found = self.sections.get(stem)
        if not isinstance(found, model):
            raise InventoryError([self.problem((stem,), "no such section", f"a section for {stem}")])
        return found

    def hosts_of(self, role: str) -> list[Host]:
        """The hosts that hold the role, in the inventory's order."""
        return [host for host in self.hosts.values() if role in host.roles]

    def lacking(self, host: Host) -> str:
        """Why nobody may connect to the host: the lab lacks it, and its address is the real world's; else empty."""
        if self.lab is None or f"{self.env}/{host.name}" in self.lab.hosts:
            return ""
        return f"the lab {self.lab.name!r} has no such host; `mainstay lab up {self.system}` boots it"

    @property
    def unproven(self) -> dict[str, list[str]]:
        """What the lab cannot prove (`gpu`, `scylla`) or does without, with the hosts that it is about; empty in the
        real world.

        A component of that name is left out there; one that can do without asks here before it looks for it.
        """
        return self.lab.unproven_on({name: host.roles for name, host in self.common.hosts.items()}) if self.lab else {}

    def services_on(self, host: Host) -> list[Service]:
        """The services that run on the host, by its roles."""
        return [service for service in self.services.values() if service.role in host.roles]

    def user_of(self, service: Service) -> str:
        """The system user that the service runs as."""
        return service.user or f"{self.system}-{service.name}"

    def env_vars(self, service: Service, host: Host) -> dict[str, str]:
        """The variables of the service on the host, as text; a secret is its placeholder `<secret NAME@version>`.

        What follows from the service's limits is among them, unless the inventory says otherwise.
        """
        values = {name: value_of(self, rule) for name, rule in service.env_vars.items()}
        own = {name: value for name, value in values.items() if value is not None}
        return derived(service, host.cores) | own

    def listeners(self, host: Host) -> list[Listener]:
        """Every port that something on the host listens on, services and components together."""
        return listeners_on(self, host)

    def problem(self, key: tuple[str | int, ...], found: str, expected: str) -> Problem:
        """A fault of this inventory, with the file and line of its key; for components' `check`."""
        return self.sources.problem(key, found, expected)

    def __copy__(self) -> Self:
        """The same object: pyinfra copies host data at each access."""
        return self

    def to_json(self) -> str:
        """What `pyinfra ... debug-inventory` shows for it."""
        return repr(self)

    def __repr__(self) -> str:
        return f"<Environment {self.name}>"
