"""What plain pyinfra asked `@mainstay/HOST` last time; Mainstay's own commands remember by themselves."""

from __future__ import annotations

import atexit
from functools import cache
from pathlib import Path

from pyinfra.api.host import Host

from mainstay import ssh
from mainstay.transport.memory import Memory
from mainstay.transport.shell import Question

_ASKED: dict[str, dict[str, list[Question]]] = {}


def remembered(host: Host) -> list[Question]:
    """What the same deploy file asked of the host in its last run."""
    return _memory(_purpose(host)).of(host.name)


def remember(host: Host, questions: list[Question]) -> None:
    """Keeps it for the next run; it is written once for all hosts, when pyinfra ends."""
    if not _ASKED:
        atexit.register(_write)
    _ASKED.setdefault(_purpose(host), {})[host.name] = questions


def _write() -> None:
    for purpose, asked in _ASKED.items():
        _memory(purpose).keep(asked)


def _purpose(host: Host) -> str:
    named = getattr(host.state, "current_deploy_filename", None)
    return f"pyinfra {Path(named).resolve() if named else ''}"


@cache
def _memory(purpose: str) -> Memory:
    return Memory(ssh.state_folder() / "questions", purpose)
