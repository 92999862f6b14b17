"""What each instance has to itself: a drop-in for the unit of its port, with its GPU and the model that it loads."""

from __future__ import annotations

from deploys.components.ml.model import all_ports, gpu_of, model_path, section, service_of
from mainstay.files import ManagedFile
from mainstay.inventory import Environment, Host, Service
from mainstay.render import render


def files(environment: Environment, member: Host) -> list[ManagedFile]:
    """A drop-in for every instance that there may be, of both slots."""
    service = service_of(environment)
    return [
        ManagedFile(
            f"/etc/systemd/system/{environment.system}-{service.name}@{port}.service.d/50-ml.conf",
            instance_text(environment, service, port),
        )
        for ports in all_ports(service).values()
        for port in ports
    ]


def instance_text(environment: Environment, service: Service, port: int) -> str:
    """The drop-in of the instance on `port`."""
    own = section(environment)
    return render(
        "ml/instance.conf.j2",
        gpu=gpu_of(service, port) if own.gpu.required else None,
        model=own.model,
        path=model_path(environment),
    )


def surroundings(environment: Environment, member: Host, service: Service) -> str:
    """The drop-ins: where one differs, for another model or GPU, the service goes over its other slot."""
    if service.name != section(environment).service:
        return ""
    return "".join(managed.content for managed in files(environment, member))
