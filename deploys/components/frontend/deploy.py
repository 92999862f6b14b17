"""Puts the frontend's pinned release live on a web host."""

from __future__ import annotations

from deploys.components.frontend.files import settings
from deploys.components.frontend.model import section
from deploys.components.release.files import base_of
from deploys.operations import sites
from mainstay import context


def apply() -> None:
    """The release is on the host already (component `release`); here the link turns to it."""
    environment, _ = context.current()
    frontend = section(environment)
    pin = environment.releases.get(frontend.service)
    if pin is None:
        return
    sites.published(
        base=base_of(environment, environment.services[frontend.service]),
        version=pin.version,
        keep_assets_days=frontend.keep_assets_days,
        settings=settings(environment, frontend),
        name=f"{frontend.service} {pin.version} live",
    )
