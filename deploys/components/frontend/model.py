"""The `frontend` section: how a static service's files reach the web hosts, and how long old ones stay."""

from __future__ import annotations

from pydantic import Field

from mainstay.inventory import Environment, Line, Name, Problem, StrictModel

ROLES = frozenset({"web"})


class Section(StrictModel):
    """The static site."""

    service: Name = Field(description="the static service that this is")
    keep_assets_days: int = Field(7, ge=1, le=365, description="assets of older releases stay this long (DF-60)")
    build_env: dict[str, Line] = Field(default_factory=dict, description="what the build was given")


def check(env: Environment) -> list[Problem]:
    """The service exists and is static."""
    frontend = env.section("frontend", Section)
    service = env.services.get(frontend.service)
    if service is None or service.kind != "static":
        return [env.problem(("frontend", "service"), repr(frontend.service), "a service of kind static")]
    return []
