"""What each instance has to itself: a drop-in for the unit of its port, with its GPU and the model that it loads."""

from __future__ import annotations

from typing import NamedTuple

from deploys.components.ml.model import all_ports, gpu_of, model_path, section, service_of
from deploys.components.service.deployment import Ask
from facts.ml import GpuInfo, Gpus
from mainstay.files import ManagedFile
from mainstay.inventory import Environment, Host, Service
from mainstay.render import render


class Given(NamedTuple):
    """The GPU of an instance: its UUID and its device file."""

    uuid: str
    device: str


def asked(environment: Environment, ask: Ask | None) -> Gpus | None:
    """The host's GPUs; None where nobody asks it, or nothing is computed on one."""
    found: Gpus | None = ask(GpuInfo) if ask is not None and section(environment).gpu.required else None
    return found


def files(environment: Environment, member: Host, gpus: Gpus | None = None) -> list[ManagedFile]:
    """A drop-in for every instance that there may be, of both slots, on a host that has these GPUs."""
    service = service_of(environment)
    return [
        ManagedFile(
            f"/etc/systemd/system/{environment.system}-{service.name}@{port}.service.d/50-ml.conf",
            instance_text(environment, service, port, gpus),
        )
        for ports in all_ports(service).values()
        for port in ports
    ]


def given(gpus: Gpus | None, number: int) -> Given:
    """The GPU that nvidia-smi counts so: placeholders where nobody asked the host, empty where it has none."""
    if gpus is None:
        return Given(f"<UUID of GPU {number}>", f"/dev/nvidia<minor number of GPU {number}>")
    return next((Given(gpu.uuid, gpu.device) for gpu in gpus.found[number : number + 1]), Given("", ""))


def instance_text(environment: Environment, service: Service, port: int, gpus: Gpus | None) -> str:
    """The drop-in of the instance on `port`."""
    own = section(environment)
    return render(
        "ml/instance.conf.j2",
        gpu=given(gpus, gpu_of(service, port)) if own.gpu.required else None,
        model=own.model,
        path=model_path(environment),
    )


def surroundings(environment: Environment, member: Host, service: Service, ask: Ask | None = None) -> str:
    """The drop-ins: where one differs, for another model or GPU, the service goes over its other slot."""
    if service.name != section(environment).service:
        return ""
    return "".join(managed.content for managed in files(environment, member, asked(environment, ask)))
