"""The user that a service's processes run as."""

from __future__ import annotations

import shlex
from collections.abc import Generator

from pyinfra import host
from pyinfra.api import operation

from facts.service import ServiceUser
from mainstay.plan_notes import irreversible, note

HOME, SHELL = "/nonexistent", "/usr/sbin/nologin"


@operation()
def present(user: str) -> Generator[str, None, None]:
    """A system account without a home, a password or a shell.

    pyinfra's `server.user` asks the host about every account that it has, ten programs each, and makes the folder
    /nonexistent, which Debian's policy wants to stay what its name says.
    """
    found = host.get_fact(ServiceUser, user=user)
    home, shell = f"--home-dir {HOME}", f"--shell {SHELL}"
    if found is None:
        note("account", f"{user} new, for processes only")
        irreversible(f"account made: {user}")
        yield f"useradd --system --user-group --no-create-home {home} {shell} {shlex.quote(user)}"
    elif found != (HOME, SHELL):
        note("account", f"{user}: home {found.home}, shell {found.shell} -> {HOME}, {SHELL}")
        yield f"usermod --home {HOME} {shell} {shlex.quote(user)}"
    else:
        host.noop(f"the account {user} stands")
