"""`--deadline`: how long a command on a host may take, for the commands that change hosts."""

from __future__ import annotations

from typing import Annotated

import typer

from mainstay.errors import UsageError
from mainstay.transport.shell import DEADLINE_S

DEADLINE_MIN = DEADLINE_S / 60
Deadline = Annotated[
    float,
    typer.Option(
        metavar="MINUTES",
        show_default="60",
        help="How long one command of an operation may take; then it is ended, and its host has failed.",
    ),
]


def seconds_of(deadline: float) -> float:
    """`--deadline` in seconds.

    Raises:
        UsageError: it is none.
    """
    if not 0 < deadline < float("inf"):
        raise UsageError(f"--deadline: found {deadline:g}, expected minutes, more than 0")
    return deadline * 60
