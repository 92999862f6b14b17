"""Accounts of the people who operate a system; what they may do is their group's, which sudo and sshd ask for."""

from __future__ import annotations

import shlex
from collections.abc import Generator

from pyinfra import host
from pyinfra.api import operation

from facts.base import Accounts
from mainstay.plan_notes import irreversible, note


@operation()
def present(names: list[str], group: str) -> Generator[str, None, None]:
    """Gives each of `names` an account in `group`, and takes everybody else out of the group.

    Passwords stay locked: operators log in by key. Who leaves the group keeps files and account, loses sudo and SSH,
    and has open sessions ended.
    """
    accounts = host.get_fact(Accounts, group=group, users=names)
    quoted = shlex.quote(group)
    if not accounts.group_exists:
        note("group", f"{group} new")
        yield f"groupadd {quoted}"
    for name in names:
        user = shlex.quote(name)
        if name not in accounts.users:
            note("account", f"{name} new, in {group}")
            irreversible(f"account made: {name}")
            yield f"useradd --create-home --shell /bin/bash --groups {quoted} {user}"
        elif name not in accounts.members:
            note("account", f"{name} into {group}")
            yield f"usermod --append --groups {quoted} {user}"
    for name in sorted(accounts.members - set(names)):
        user = shlex.quote(name)
        note("account", f"{name} out of {group}, sessions ended")
        yield f"gpasswd --delete {user} {quoted} && {{ loginctl terminate-user {user} 2>/dev/null || true; }}"
