"""The `frontend` section: how a static service's files reach the web hosts, and how long old ones stay."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import AfterValidator, Field

from mainstay.inventory import Environment, Line, Name, Problem, StrictModel

ROLES = frozenset({"web"})


def _value(value: str) -> str:
    try:
        value.format(domain="", api_domain="")
    except (KeyError, IndexError, ValueError, AttributeError):
        raise ValueError("text with no placeholder but {domain} and {api_domain}") from None
    return value


def _names(values: dict[str, str]) -> dict[str, str]:
    wrong = [name for name in values if not re.fullmatch(r"[A-Z][A-Z0-9_]{0,63}", name)]
    if wrong:
        raise ValueError(f"names in capitals such as VITE_API_BASE_URL, not {wrong[0]!r}")
    return values


class Section(StrictModel):
    """The static site."""

    service: Name = Field(description="the static service that this is")
    keep_assets_days: int = Field(7, ge=1, le=365, description="assets of older releases stay this long (DF-60)")
    build_env: Annotated[dict[str, Annotated[Line, AfterValidator(_value)]], AfterValidator(_names)] = Field(
        default_factory=dict, description="what %NAME% in the index becomes; every visitor reads it"
    )


def section(env: Environment) -> Section:
    """The environment's own section."""
    return env.section("frontend", Section)


def uses(env: Environment) -> set[str]:
    """The static service."""
    return {section(env).service}


def check(env: Environment) -> list[Problem]:
    """The service exists and is static."""
    frontend = section(env)
    service = env.services.get(frontend.service)
    if service is None or service.kind != "static":
        return [env.problem(("frontend", "service"), repr(frontend.service), "a service of kind static")]
    return []
