"""The section `certificates`: how an authority proves the sites' names, and where what it issues stands."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import AfterValidator, Field

from mainstay.errors import Problem
from mainstay.inventory.fields import Identifier, StrictModel, matching

if TYPE_CHECKING:
    from mainstay.inventory.environment import Environment

LiveFolder = Annotated[
    str,
    AfterValidator(matching(r"(/([A-Za-z0-9._-]+|\{domain\}))+", "an absolute path; {domain} is the environment's")),
]

WebRoot = Annotated[
    str,
    AfterValidator(
        matching(r"/var/www(/[A-Za-z0-9_-][A-Za-z0-9._-]*)+", "a folder below /var/www such as /var/www/acme")
    ),
]
"""Whatever an apply makes its own and readable by everybody: no folder of others."""


class Certificates(StrictModel):
    """Certificates for the names of the sites."""

    method: Literal["webroot"] = "webroot"
    webroot: WebRoot = Field(description="the folder from which web hosts answer challenges, on port 80 (NX-05)")
    live_dir: LiveFolder = Field(description="the newest certificate and its key")
    reload: Identifier = Field("nginx", description="the component that takes it up; never by a restart (CT-06)")


def references(env: Environment) -> Iterator[Problem]:
    """A certificate for a component that the system does not have."""
    found = env.common.certificates
    if found is not None and found.reload not in env.sections:
        expected = f"one of the inventory's sections: {', '.join(env.sections)}"
        yield env.problem(("certificates", "reload"), repr(found.reload), expected)
