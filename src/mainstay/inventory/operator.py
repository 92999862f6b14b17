"""Which account this laptop connects with."""

from __future__ import annotations

import getpass
import os

from mainstay.errors import UsageError
from mainstay.inventory.environment import Environment


def operator(env: Environment) -> str:
    """The named operator: `MAINSTAY_OPERATOR`, else the local user when listed, else the only one there is.

    First contact with a new host is `env.bootstrap_user` instead; the engine decides that when the operator is refused.

    Raises:
        UsageError: the name is not listed, or there are several and none was named.
    """
    known = ", ".join(env.operators)
    named = os.environ.get("MAINSTAY_OPERATOR")
    if named:
        if named not in env.operators:
            raise UsageError(f"MAINSTAY_OPERATOR: found {named!r}, expected an operator of {env.name}: {known}.")
        return named
    local = _local_user()
    if local in env.operators:
        return local
    if len(env.operators) == 1:
        return next(iter(env.operators))
    raise UsageError(f"{local!r} is not an operator of {env.name}, set MAINSTAY_OPERATOR to one of: {known}.")


def _local_user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container whose user has no name
        return ""
