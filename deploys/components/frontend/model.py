"""The `frontend` section: how a static service's files reach the web hosts, and how long old ones stay."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Annotated

from pydantic import AfterValidator, Field

from mainstay.inventory import Environment, Line, Name, Problem, StrictModel, per_env
from mainstay.inventory.fields import matching
from mainstay.inventory.upkeep import Bucket, Prefix

ROLES = frozenset({"web"})

Distribution = Annotated[
    str, AfterValidator(matching(r"E[A-Z0-9]{8,20}", "the id of a CloudFront distribution such as E2EXAMPLE51PUB"))
]
PathPattern = Annotated[
    str,
    AfterValidator(matching(r"/[A-Za-z0-9._~/-]*\*?", "a path from /, with a * at its end where it stands for more")),
]


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


class Cdn(StrictModel):
    """A CloudFront distribution before the bucket."""

    distribution: Distribution = per_env(description="its id")
    invalidate: list[PathPattern] = Field(
        default_factory=lambda: ["/*"], min_length=1, description="what it forgets when the index has turned"
    )


class Publish(StrictModel):
    """The bucket that the site is published to, in the account of `storage`."""

    bucket: Bucket = per_env()
    prefix: Prefix = ""
    cdn: Cdn | None = None


class Section(StrictModel):
    """The static site."""

    service: Name = Field(description="the static service that this is")
    keep_assets_days: int = Field(7, ge=1, le=365, description="assets of older releases stay this long (DF-60)")
    build_env: Annotated[dict[str, Annotated[Line, AfterValidator(_value)]], AfterValidator(_names)] = Field(
        default_factory=dict, description="what %NAME% in the index becomes; every visitor reads it"
    )
    publish: Publish | None = Field(None, description="an object store that serves it, beside or instead of nginx")


def section(env: Environment) -> Section:
    """The environment's own section."""
    return env.section("frontend", Section)


def uses(env: Environment) -> set[str]:
    """The static service."""
    return {section(env).service}


def check(env: Environment) -> list[Problem]:
    """The service exists and is static; the store that it is published to is one that Mainstay can speak to."""
    frontend = section(env)
    service = env.services.get(frontend.service)
    problems = [] if frontend.publish is None else list(_publish(env, frontend.publish))
    if service is None or service.kind != "static":
        problems.append(env.problem(("frontend", "service"), repr(frontend.service), "a service of kind static"))
    return problems


def _publish(env: Environment, publish: Publish) -> Iterator[Problem]:
    key, store = ("frontend", "publish"), env.common.storage
    if store is None:
        yield env.problem(key, "no section storage", "one: it says where the bucket's account is")
        return
    if store.key_id is None or store.key is None:
        yield env.problem(("storage", "key_id"), "no key_id or no key", "the names of the secrets that hold both")
    if publish.bucket == store.bucket:
        found = f"{publish.bucket}, which storage.bucket is"
        yield env.problem((*key, "bucket"), found, "a bucket of its own: everybody reads this one")
    if publish.cdn is not None and store.provider != "aws":
        expected = f"none: {store.provider} has a CDN of its own, which asks anew for what is no-cache"
        yield env.problem((*key, "cdn"), "a CloudFront distribution", expected)
