"""Where hosts that are applied side by side wait for each other."""

from __future__ import annotations

from collections.abc import Generator

from pyinfra import host
from pyinfra.api import operation


@operation()
def reached() -> Generator[str, None, None]:
    """Changes nothing. Under a name of `context`'s it is the point that hosts that have it reach before one goes on.

    pyinfra itself runs each operation on all hosts before the next, so there it is true by itself.
    """
    host.noop("nothing to do here but wait")
    yield from ()
