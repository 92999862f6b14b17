"""When disruptive work may be done: the maintenance windows of a system."""

from __future__ import annotations

from datetime import UTC, datetime

from mainstay.inventory.environment import Environment
from mainstay.inventory.system import window_minutes


def open_window(environment: Environment, now: datetime) -> str:
    """The window of the inventory in which `now` falls, as the inventory writes it; empty where it falls in none.

    Args:
        now: an instant with its time zone; windows are in UTC.
    """
    there = now.astimezone(UTC)
    minute = there.hour * 60 + there.minute
    for window in environment.common.maintenance.windows:
        start, end = window_minutes(window)
        if window.split()[0] in ("daily", f"{there:%a}") and start <= minute < end:
            return window
    return ""


def restart_leave(environment: Environment, key: str, own: bool, asked: bool, now: datetime) -> tuple[str, str]:
    """Whether a server may be restarted for a setting: why it may, and, where it may not, when it will be.

    Args:
        environment: whose windows count.
        key: the inventory's key that always allows it.
        own: the key's value.
        asked: the operator said `--allow-restart`.
        now: an instant with its time zone.

    Returns:
        One of the two, the other one empty.
    """
    window = open_window(environment, now)
    if own:
        return key, ""
    if asked:
        return "--allow-restart", ""
    if window:
        return f"the window {window}", ""
    windows = environment.common.maintenance.windows
    ways = [*(f"in the window {window}" for window in windows), "with --allow-restart"]
    return "", " or ".join(ways)


def restart_said(leave: tuple[str, str]) -> str:
    """What plan and run say of a setting that needs a restart, by what `restart_leave` found."""
    allowed, later = leave
    return f"by a restart ({allowed})" if allowed else f"waits for a restart: {later}"
