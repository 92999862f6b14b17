"""The `ml` section: which service computes, the GPU that each of its instances has to itself, the model it loads."""

from __future__ import annotations

import posixpath
from collections.abc import Iterator
from typing import Annotated, Self

from pydantic import AfterValidator, Field, model_validator
from pydantic_core import PydanticCustomError

from mainstay.inventory import Environment, Name, Problem, Service, StrictModel, per_env
from mainstay.inventory.fields import matching
from mainstay.inventory.services import Slot

ROLES = frozenset({"ml"})

_NAME = r"[A-Za-z0-9][A-Za-z0-9._+-]{0,127}"
FileName = Annotated[str, AfterValidator(matching(_NAME, "the name of a file, without a folder"))]
Key = Annotated[
    str, AfterValidator(matching(rf"({_NAME}/){{0,16}}{_NAME}", "the key of an object such as models/net-9.tar"))
]
Sha256 = Annotated[
    str, AfterValidator(matching(r"[0-9a-f]{64}", "a SHA-256 checksum: 64 hexadecimal digits in lower case"))
]


class Gpu(StrictModel):
    """What a host's GPUs must offer before an instance starts (ML-01, SC-13)."""

    required: bool = per_env(True, description="false: the service computes on the CPU, and nothing is asked")
    min_free_mib: int = per_env(1024, ge=1, le=1048576, description="free memory of a GPU before an instance starts")


class Model(StrictModel):
    """The file that each instance loads, by its content: whatever has another checksum never stands in its place."""

    name: FileName = Field(description="the file's name on the host, below models/ of the service's folder")
    sha256: Sha256
    file: FileName | None = Field(None, description="the file in artefacts/, sent from this machine in one stream")
    key: Key | None = Field(None, description="the object in `storage`, which the host fetches itself")

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        if (self.file is None) == (self.key is None):
            found = "neither file nor key" if self.file is None else "both file and key"
            expected = "one place that the model comes from"
            raise PydanticCustomError("found_expected", "{expected}", {"found": found, "expected": expected})
        return self


class Section(StrictModel):
    """The service that computes."""

    service: Name = Field(description="the service of role ml that this is about")
    gpu: Gpu = Field(default_factory=Gpu)
    model: Model | None = None


def section(env: Environment) -> Section:
    """The environment's own section."""
    return env.section("ml", Section)


def service_of(env: Environment) -> Service:
    """The service that computes."""
    return env.services[section(env).service]


def uses(env: Environment) -> set[str]:
    """The service that computes: other services of the host reach it."""
    return {section(env).service}


def gpu_of(service: Service, port: int) -> int:
    """The GPU, counted from 0, of the instance on `port`: in both slots, the first instance has the first."""
    return next(ports.index(port) for ports in all_ports(service).values() if port in ports)


def all_ports(service: Service) -> dict[Slot, list[int]]:
    """The ports of every instance that there may be, by slot."""
    slots: tuple[Slot, ...] = ("blue", "green")
    return {slot: service.ports_of(slot, service.instances.max) for slot in slots}


def model_path(env: Environment) -> str:
    """Where the service finds its model; empty where it has none."""
    own = section(env)
    base = f"/opt/{env.system}/{own.service}"
    return posixpath.join(base, "models", own.model.name) if own.model else ""


def pinned(env: Environment) -> dict[str, tuple[tuple[str | int, ...], str]]:
    """The model's file of artefacts/, with the key that pins it and its checksum."""
    model = section(env).model
    return {model.file: (("ml", "model", "sha256"), model.sha256)} if model is not None and model.file else {}


def check(env: Environment) -> list[Problem]:
    """The service computes on hosts of role ml, each instance on a GPU of its own, with a model from somewhere."""
    return [*_service(env), *_gpus(env), *_model(env)]


def _service(env: Environment) -> Iterator[Problem]:
    own = section(env)
    service = env.services.get(own.service)
    if service is None or service.role != "ml" or service.kind == "static":
        yield env.problem(("ml", "service"), repr(own.service), "a service of role ml that has processes")


def _gpus(env: Environment) -> Iterator[Problem]:
    own = section(env)
    service = env.services.get(own.service)
    if not own.gpu.required or service is None:
        return
    for host in env.hosts_of("ml"):
        most = service.instances.max
        if host.gpus < most:
            found = f"{host.gpus}, and up to {most} instances of {service.name} (instances.max)"
            yield env.problem(("hosts", host.name, "gpus"), found, "a GPU for each")


def _model(env: Environment) -> Iterator[Problem]:
    own = section(env)
    if own.model is not None and own.model.key is not None and (store := env.common.storage) is None:
        yield env.problem(("ml", "model", "key"), repr(own.model.key), "a section storage, where it would be")
    elif own.model is not None and own.model.key is not None and store is not None and store.bucket is None:
        yield env.problem(("storage", "bucket"), "none", "the bucket that ml.model.key is in")
