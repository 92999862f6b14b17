"""Host scripts that travel with the question: they work on a bare host, and always are of this laptop's version."""

from __future__ import annotations

import re
import shlex
from functools import cache
from pathlib import Path

from mainstay import project

KIT = "/usr/local/lib/mainstay"
_SOURCE = re.compile(r"^\. .*/common\.sh\"$", re.MULTILINE)


def marker(run_id: str | None) -> str:
    """What commands of a run begin with, so that a host can tell which of its processes work for which run."""
    return f": mainstay-run={run_id}; " if run_id else ""


def inline(script: str, *arguments: str, run: str | None = None) -> str:
    """The text of `templates/hostkit/<script>`, with what it shares, as one bash command.

    `run` marks the process with the run that it works for, so that `runs settle` can wait for it.
    """
    shared = _text("common.sh")
    body = _SOURCE.sub(lambda _: shared, _text(script), count=1)
    words = " ".join(shlex.quote(argument) for argument in arguments)
    return f"{marker(run)}MAINSTAY_KIT={KIT}\nset -- {words}\n{body}"


@cache
def _text(name: str) -> str:
    folders = [Path(folder) / "hostkit" for folder in project.template_dirs()]
    return next(folder / name for folder in folders if (folder / name).is_file()).read_text(encoding="utf-8")
