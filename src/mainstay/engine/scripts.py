"""What is asked of several hosts side by side, and what becomes of those that do not answer."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from mainstay.errors import HostError
from mainstay.fleet import Fleet


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
