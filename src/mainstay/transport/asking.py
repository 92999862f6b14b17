"""Which commands of pyinfra ask, and which change: a fact's ask. Written for pyinfra 3.10."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import gevent.local
import pyinfra
from pyinfra.api.host import Host

_PLACE = ("in_op", "current_op_hash", "current_op_global_arguments", "current_op_deploy_data")
_LOCAL = gevent.local.local()


@contextmanager
def own_place(host: Host) -> Iterator[None]:
    """Keeps where pyinfra stands in an operation: while it waits, other operations of the same host go on."""
    kept = {name: getattr(host, name) for name in _PLACE}
    try:
        yield
    finally:
        for name, value in kept.items():
            setattr(host, name, value)


@contextmanager
def asking() -> Iterator[None]:
    """What is run in here changes nothing."""
    before = getattr(_LOCAL, "asking", False)
    _LOCAL.asking = True
    try:
        yield
    finally:
        _LOCAL.asking = before


def is_question() -> bool:
    """Whether a fact asks."""
    return bool(getattr(_LOCAL, "asking", False))


def _mark_questions() -> None:
    """Lets the connector see which commands are a fact's; where it cannot, each counts as a change: slow, and right."""
    original: Callable[..., Any] = Host.get_fact

    @functools.wraps(original)
    def get_fact(self: Host, *args: Any, **kwargs: Any) -> Any:
        with asking():
            return original(self, *args, **kwargs)

    if pyinfra.__version__.startswith("3.10."):
        Host.get_fact = get_fact  # type: ignore[method-assign]


_mark_questions()
