"""What the frontend's index is filled with. Its files come from the artefact, whose checksum covers them."""

from __future__ import annotations

import html

from deploys.components.frontend.model import Section
from mainstay.files import ManagedFile
from mainstay.inventory import Environment, Host


def settings(environment: Environment, frontend: Section) -> dict[str, str]:
    """The value of each %NAME% in the index, as HTML: one artefact serves both environments."""
    names = {"domain": environment.domain, "api_domain": environment.api_domain}
    return {name: html.escape(value.format(**names)) for name, value in frontend.build_env.items()}


def files(environment: Environment, member: Host) -> list[ManagedFile]:
    """None."""
    return []
