"""Confirms, over a new connection, a change that could have locked the operator out."""

from __future__ import annotations

import shlex
import time
from typing import TYPE_CHECKING

from mainstay import context, ssh
from mainstay.errors import HostError
from mainstay.plan_notes import failure

if TYPE_CHECKING:
    from pyinfra.api import Host, State

# The host waits longer than the laptop tries, so a confirmation that succeeds never comes too late.
DEADMAN_S = 45
CONFIRM_S = 20
# One new connection with sudo, on a busy host.
ANSWER_S = 8
# What playing the journal back may take on a busy host, after the timer.
UNDO_S = 15
_DEADMAN = "/usr/local/lib/mainstay/deadman"


def confirm(state: State, host: Host, token: str, seconds: int = DEADMAN_S) -> bool:
    """Called as the last command of a step: a new login as the operator, with sudo, disarms the host's timer.

    Args:
        state: pyinfra's, passed by pyinfra.
        host: the same.
        token: names the step that is confirmed.
        seconds: after which the host undoes the step by itself.

    Returns:
        Whether it was confirmed; where not, the reason and what became of the host is the operation's failure.
    """
    environment, member = context.current()
    deadline = time.monotonic() + seconds
    tries_until = time.monotonic() + min(CONFIRM_S, seconds / 2)
    reason = ""
    while time.monotonic() < tries_until:
        try:
            ssh.run_fresh(environment, member, f"{_DEADMAN} confirm {shlex.quote(token)}", timeout=ANSWER_S)
            return True
        except HostError as error:
            reason = str(error).removeprefix(f"{member.name}: ")
            if "too late" in reason:
                break
            time.sleep(1)
    failure(f"the change locked the operator out ({reason}); {_undone(host, token, deadline)}")
    return False


def _undone(host: Host, token: str, deadline: float) -> str:
    """Has the host undo the change now, over the connection that is still open; else waits until it did by itself."""
    _ask(host, f"undo {shlex.quote(token)}")
    while time.monotonic() < deadline + UNDO_S:
        state = _ask(host, "state")
        if "incomplete" in state:
            return f"the host undid it, but {state.partition('incomplete: ')[2].strip()}"
        if state.startswith("fired"):
            return "the host undid it and is as before"
        time.sleep(1)
    return "the host undoes it by itself, which could not be seen from here"


def _ask(host: Host, verb: str) -> str:
    """Empty where sudo or the connection is what the change broke."""
    # pyinfra asks the terminal for a password when it reads that sudo wants one; here nobody is to be asked.
    command = f"sudo -n {_DEADMAN} {verb} 2>/dev/null"
    try:
        ok, output = host.run_shell_command(command, _sudo=False, _timeout=UNDO_S)
    except Exception:  # whatever the broken connection does; the host's own timer is what counts
        return ""
    return str(output.stdout).strip() if ok else ""
