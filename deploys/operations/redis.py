"""Redis: what runs is what is written."""

from __future__ import annotations

import shlex
from collections.abc import Generator

from pyinfra import host
from pyinfra.api import operation

from deploys.operations.files import KIT
from facts.redis import RedisInEffect
from mainstay.plan_notes import note


def control(*words: str) -> str:
    """The command line of the host's own script for Redis."""
    return shlex.join([f"{KIT}/redis-control", *words])


@operation()
def settled(wanted: dict[str, str], users: str, allow_restart: bool) -> Generator[str, None, None]:
    """Undoes CONFIG SET and ACL SETUSER by hand: settings go back live where Redis can, users by ACL LOAD.

    Args:
        wanted: settings as CONFIG GET prints them.
        users: path of the ACL file.
        allow_restart: whether a server that would lose its data may be restarted (DF-80).
    """
    state = host.get_fact(RedisInEffect, names=sorted(wanted), port=int(wanted["port"]), users=users)
    if state is None:
        host.noop("no server runs yet")
        return
    if not state.reachable:
        note("mainstay", "the running server does not accept the admin password that it was given")
    changes = {name: state.settings[name] for name in state.settings if state.settings[name] != wanted[name]}
    for name, found in changes.items():
        note(name, f"{found or 'empty'} in effect, {wanted[name] or 'empty'} wanted")
    if state.reachable and not state.users_as_loaded:
        note("users", f"other than those of {users}")
    if state.reachable and state.users_as_loaded and not changes:
        host.noop(f"{len(wanted)} settings and the users are in effect")
        return
    yield control("activate", *(["restart"] if allow_restart else []))
