"""Ctrl-C: the first one stops before the next operation, so that nothing is left half-written; the second at once."""

from __future__ import annotations

import os
import signal
import sys
from types import FrameType, TracebackType
from typing import Any

from mainstay.errors import Interrupted

SIGNALS = (signal.SIGINT, signal.SIGTERM)
SHOW_CURSOR = b"\x1b[?25h"


class Stop:
    """Whether the operator asked to stop; a context that listens for SIGINT and SIGTERM."""

    def __init__(self) -> None:
        self.asked = False
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> Stop:
        self._before = {number: signal.signal(number, self._ask) for number in SIGNALS}
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _ask(self, number: int, frame: FrameType | None) -> None:
        # Not through the console: another greenlet may be inside it, holding its lock.
        if not self.asked:
            self.asked = True
            os.write(2, b"\nmainstay: stopping after the current step; Ctrl-C again stops at once\n")
            return
        told = b"\nmainstay: stopped at once; hosts finish the step they are at, --resume or --abort takes over\n"
        os.write(2, (SHOW_CURSOR if sys.stderr.isatty() else b"") + told)
        # As if killed, which a run survives anyway: an exception here would be raised inside gevent's own loop.
        os._exit(Interrupted.exit_code)
