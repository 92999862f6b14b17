"""Which secrets an environment needs: every field of its model that is typed as the name of a secret."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Annotated, Any, get_args, get_origin

from pydantic import BaseModel

from mainstay.inventory import Environment, SecretName
from mainstay.secrets.generator import Generator, Needed

_MARK = get_args(SecretName)[1]


def needed_secrets(env: Environment) -> list[Needed]:
    """The secrets that services' variables and components' sections name, sorted, each with its generator.

    A name without a generator of its own gets one for its variable's type (hex, base64 of `min_bytes`), else the common
    one (32 bytes, urlsafe: 43 characters); what the inventory lists as issued by others has none, and a stand-in by the
    same rules.
    """
    names = {name for part in (env.common, *env.sections.values()) for name in _names(type(part), (), part)}
    rules, typed = env.common.secrets, dict(_typed(env))
    made = {name: rules.generators.get(name) or typed.get(name) or Generator() for name in sorted(names)}
    return [Needed(name, None if name in rules.issued else how, how) for name, how in made.items()]


def _typed(env: Environment) -> Iterator[tuple[str, Generator]]:
    """A generator for each secret whose variable is of a type that generators make."""
    for service in env.services.values():
        for rule in service.env_vars.values():
            if rule.secret is not None and rule.type in ("hex", "base64"):
                yield rule.secret, Generator(encoding=rule.type, bytes=min(1024, max(16, rule.min_bytes or 32)))


def _names(annotation: Any, metadata: Sequence[Any], value: Any) -> Iterator[str]:
    """Names of secrets in `value`, found by its declared type and not by the looks of its text."""
    if get_origin(annotation) is Annotated:
        annotation, *more = get_args(annotation)
        metadata = (*metadata, *more)
    if isinstance(value, BaseModel):
        for name, field in type(value).model_fields.items():
            yield from _names(field.annotation, field.metadata, getattr(value, name))
    elif isinstance(value, dict):
        for item in value.values():
            yield from _names(_inner(annotation), (), item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _names(_inner(annotation), (), item)
    elif isinstance(value, str):
        if _MARK in metadata:
            yield value
        elif get_args(annotation):  # `SecretName | None`
            for member in get_args(annotation):
                yield from _names(member, (), value)


def _inner(annotation: Any) -> Any:
    """The type of a mapping's values or of a list's items, also where the field may be None."""
    if get_origin(annotation) in (dict, list, tuple):
        return get_args(annotation)[-1]
    return next((_inner(member) for member in get_args(annotation) if get_origin(member) in (dict, list, tuple)), None)
