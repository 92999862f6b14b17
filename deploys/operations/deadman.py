"""Confirms, over a new connection, a change that could have locked the operator out."""

from __future__ import annotations

import time

from pyinfra import host, logger
from pyinfra.api.exceptions import PyinfraError

from mainstay import context, ssh
from mainstay.errors import HostError

# The host waits longer than the laptop tries, so a confirmation that succeeds never comes too late.
DEADMAN_S = 45
CONFIRM_S = 20
# What playing the journal back may take on a busy host, after the timer.
UNDO_S = 15


def confirm() -> None:
    """Called as the last command of a step: a new login as the operator, with sudo, disarms the host's timer.

    Raises:
        PyinfraError: no new connection could be made in time; the host has undone, or undoes, the change by itself.
    """
    environment, member = context.current()
    deadline = time.monotonic() + CONFIRM_S
    reason = ""
    while time.monotonic() < deadline:
        try:
            ssh.run_fresh(environment, member, "/usr/local/lib/mainstay/deadman confirm", timeout=8)
            return
        except HostError as error:
            reason = str(error)
            time.sleep(1)
    logger.error(f"{host.print_prefix}no new connection: {reason}")
    raise PyinfraError(_outcome(member.name, reason))


def _outcome(name: str, reason: str) -> str:
    """Waits on the connection that is still open until the host has undone the change, and says so."""
    deadline = time.monotonic() + DEADMAN_S - CONFIRM_S + UNDO_S
    while time.monotonic() < deadline:
        state = _state()
        if state.startswith("fired"):
            return f"{name}: the change locked the operator out ({reason}); the host undid it by itself ({state})"
        time.sleep(1)
    return (
        f"{name}: the change locked the operator out ({reason}); the host undoes it {DEADMAN_S} s after the change, "
        "which could not be seen from here"
    )


def _state() -> str:
    ok, output = host.run_shell_command("/usr/local/lib/mainstay/deadman state", _sudo=True, _timeout=10)
    return output.stdout.strip() if ok else ""
