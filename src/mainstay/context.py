"""What a deploy asks first: which environment, which host?"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import cast

from mainstay.errors import UsageError
from mainstay.inventory.environment import Environment, Host
from mainstay.inventory.groups import ALLOW_RESTART, ENVIRONMENT, HOST
from mainstay.windows import restart_leave

# The names of the operations at which those of the hosts that run side by side wait for each other that have them.
AHEAD = "What goes ahead of other hosts"
TOGETHER = "Everything that releases stand on"


def current() -> tuple[Environment, Host]:
    """The model of the host that pyinfra is working on.

    Raises:
        UsageError: the inventory was not one of Mainstay's.
    """
    from pyinfra import host

    env, own = host.data.get(ENVIRONMENT), host.data.get(HOST)
    if env is None or own is None:
        raise UsageError(f"{host.name}: no inventory of Mainstay, use inventories/<system>/<env>.py.")
    return cast(Environment, env), cast(Host, own)


def current_environment() -> Environment:
    """The environment of the host that pyinfra is working on."""
    return current()[0]


def run_id() -> str | None:
    """The run whose journal the host keeps; None under plain pyinfra, which keeps none."""
    from pyinfra import host

    return cast("str | None", host.data.get("mainstay_run"))


def leave_to_restart(key: str, own: bool) -> tuple[str, str]:
    """Why a server of the host that pyinfra is working on may be restarted now, or else when it may be.

    Args:
        key: the inventory's key that always allows it.
        own: the key's value.

    Returns:
        As `mainstay.windows.restart_leave`.
    """
    from pyinfra import host

    return restart_leave(current_environment(), key, own, bool(host.data.get(ALLOW_RESTART)), datetime.now(UTC))
