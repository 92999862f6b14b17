"""What is seen of work that takes over two seconds: a spinner or a bar on a terminal, plain lines elsewhere."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console

from mainstay.cli import output

# A log that says nothing for longer than this looks like one that hangs.
PLAIN_EVERY_S = 10.0


@contextmanager
def working(what: str, at: Callable[[], str] = str) -> Iterator[None]:
    """Shows that `what` goes on, and how long it has; silent for what is done within two seconds.

    Args:
        at: what it is at, asked for each line; empty where there is nothing to say.
    """
    if output.is_terminal():
        with Console(stderr=True).status(what):
            yield
        return
    done = threading.Event()
    thread = threading.Thread(target=_plain, args=(what, at, done), daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


def _plain(what: str, at: Callable[[], str], done: threading.Event) -> None:
    started, wait = time.monotonic(), 2.0
    while not done.wait(wait):
        where = at()
        output.told(f"  {what} ... {time.monotonic() - started:.0f} s{': ' if where else ''}{where}")
        wait = PLAIN_EVERY_S
