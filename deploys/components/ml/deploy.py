"""Brings the GPUs' check, the model and each instance's drop-in to a host, before the service starts on them."""

from __future__ import annotations

from pyinfra import host

from deploys.components.ml.files import asked, files
from deploys.components.ml.model import model_path, section, service_of
from deploys.components.service.files import deployment
from deploys.operations import files as operations
from deploys.operations import gpus, models
from mainstay import context
from mainstay.files import FileSet
from mainstay.inventory import Environment, Host


def needs(environment: Environment, member: Host) -> list[str]:
    """The packages that it installs on the host; the driver is the operator's, who knows the hardware."""
    model = section(environment).model
    return ["curl", "ca-certificates"] if model is not None and model.key else []


def apply() -> None:
    """A host whose GPUs do not suffice is refused before anything of this changes on it."""
    environment, member = context.current()
    own, service = section(environment), service_of(environment)
    if service.name not in environment.releases:
        return
    if own.gpu.required:
        wanted = deployment(environment, member, service, host.get_fact)
        gpus.ready(wanted, own.gpu.min_free_mib, name=f"GPUs for {service.name}")
    if own.model is not None:
        models.placed(
            models.Source.of(environment, own.model.name, own.model.sha256, own.model.file, own.model.key),
            model_path(environment),
            name=f"Model {own.model.name}",
        )
    drop_ins = files(environment, member, asked(environment, host.get_fact))
    operations.installed(FileSet(drop_ins, activate="systemctl daemon-reload"), name=f"Instances of {service.name}")
