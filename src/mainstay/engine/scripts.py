"""Host scripts that travel with the question: they work on a bare host, and always are of this laptop's version."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from mainstay import project
from mainstay.errors import HostError
from mainstay.fleet import Fleet
from mainstay.fleet_pass import marker

KIT = "/usr/local/lib/mainstay"
_SOURCE = re.compile(r"^\. .*/common\.sh\"$", re.MULTILINE)


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


@dataclass
class Answers:
    """What each host said, and why those that said nothing did not; by host name."""

    said: dict[str, str] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)


def ask(
    fleet: Fleet,
    names: Iterable[str],
    command: str | Callable[[str], str],
    *,
    stdin: str | Callable[[str], str] = "",
    timeout: float = 60,
) -> Answers:
    """Runs a command as root on each host, side by side; a host that fails is in `failed` with its sentence."""
    answers = Answers()

    def one(name: str) -> None:
        text = command if isinstance(command, str) else command(name)
        given = stdin if isinstance(stdin, str) else stdin(name)
        try:
            answers.said[name] = fleet.shell(name, text, stdin=given, timeout=timeout)
        except HostError as error:
            answers.failed[name] = str(error).removeprefix(f"{name}: ")

    side_by_side(one, names)
    return answers


def side_by_side(work: Callable[[str], None], names: Iterable[str]) -> None:
    """Does the work for each host at the same time; threads are greenlets here, since pyinfra patched them."""
    wanted = list(names)
    with ThreadPoolExecutor(max_workers=max(1, min(32, len(wanted)))) as pool:
        list(pool.map(work, wanted))
