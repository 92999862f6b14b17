"""A host's connection: what is kept open from the last command is used, else a new one is made and kept.

New ones are made a few at a time. What goes wrong is one sentence about the host: what was found, what was expected.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Protocol

from mainstay.transport import multiplex
from mainstay.transport.multiplex import OPENS_WITHIN_S, Session
from mainstay.transport.route import CONNECTS_WITHIN_S, Route
from mainstay.transport.shell import SIDE_BY_SIDE, STARTS_WITHIN_S, Shell
from mainstay.transport.streams import Program, Stream

# Logins under way at the same time. sshd's MaxStartups turns some away when ten have not proved themselves yet, and one
# that everybody jumps over takes those of all hosts.
HANDSHAKES = 8
# After this long, a login gives its place to the next one: a host that does not answer costs nobody anything.
SLOW_S = 2.0
# How often, after about how many seconds, a host is tried again that has too many logins under way.
_AGAIN_S = (0.5, 1.0, 2.0)
# `ssh` ends with this where there is no connection; other exit codes are the command's.
_NO_CONNECTION = 255
# What `ssh` says when the socket that it would listen at has come to be while it logged in; looked for that often.
_ANOTHERS = b"already exists, disabling multiplexing"
_LOOK_S = 0.25
_PLACES = threading.BoundedSemaphore(HANDSHAKES)


class Unreachable(OSError):
    """There is no connection to a host.

    Attributes:
        refused: the host is there, but lets nobody in who has this name and key.
        crowded: it hung up before a word was said, as sshd does with too many logins under way.
    """

    def __init__(self, sentence: str, *, refused: bool = False, crowded: bool = False) -> None:
        super().__init__(sentence)
        self.refused = refused
        self.crowded = crowded


class Closed(Protocol):
    """What ends when it is closed."""

    def close(self) -> None:
        """Ends it."""


class Link:
    """The way to one host for one command of Mainstay; what it opens, it closes, but for the connection itself."""

    def __init__(self, route: Route) -> None:
        self.route = route
        self._opened: list[Closed] = []
        self._retired = False

    def shell(self, sudo: str = "sudo -n -H ", password: str = "", side_by_side: int = SIDE_BY_SIDE) -> Shell:
        """Starts the runner on the host.

        Args:
            sudo: what it is started with; empty for the user who logs in.
            password: what that asks for.
            side_by_side: as `Shell` says.

        Raises:
            Unreachable: no connection.
            OSError: it did not start there; the host's own words.
        """
        self._look()
        before = f"{password}\n".encode() if password else b""

        def start(open_stream: Callable[[str], Stream]) -> Shell:
            return Shell(open_stream, sudo=sudo, before=before, side_by_side=side_by_side)

        # Whatever is wrong with it over a connection from before (the host is another one by now, or the user's rights
        # are), is believed only of a new one.
        found = self._over_kept(start) or self._over_new(start)
        self._opened.append(found)
        return found

    def session(self, command: str) -> Stream:
        """A command of its own, as the user who logs in.

        Raises:
            OSError: no connection.
        """
        self._look()
        kept = self.route.socket
        found = Session(kept, command) if kept and kept.exists() else Program(self.route.argv(command))
        self._opened.append(found)
        return found

    def adopt(self, one: Closed) -> None:
        """Something else that ends with it."""
        self._opened.append(one)

    def close(self) -> None:
        """Ends what runs over it."""
        for one in self._opened:
            with suppress(OSError):
                one.close()
        self._opened.clear()

    def retire(self) -> None:
        """Ends what runs over it, and lets nobody use it or its connection any more: another link makes a new one."""
        self._retired = True
        self.close()
        if self.route.socket is not None:
            multiplex.stop(self.route.socket)

    def _look(self) -> None:
        if self._retired:
            raise OSError("the connection broke")

    def _over_kept(self, start: Callable[[Callable[[str], Stream]], Shell]) -> Shell | None:
        kept = self.route.socket
        if kept is None or not kept.exists():
            return None
        try:
            return _over(kept, start, OPENS_WITHIN_S)
        except OSError:
            multiplex.stop(kept)
            return None

    def _over_new(self, start: Callable[[Callable[[str], Stream]], Shell]) -> Shell:
        login = self._login_alone if self.route.socket is None else self._login_to_keep
        for pause in _AGAIN_S:
            try:
                return login(start)
            except Unreachable as error:
                if not error.crowded:
                    raise
            time.sleep(pause * random.uniform(0.5, 1.5))  # noqa: S311  so that not all come again at once
        return login(start)

    def _login_to_keep(self, start: Callable[[Callable[[str], Stream]], Shell]) -> Shell:
        """`ssh` makes the connection, leaves it with a process of its own, and ends.

        Were it to run the first session too, it would stay as long as that: twice the memory of a host.
        """
        kept = self.route.socket
        assert kept is not None  # noqa: S101  as `_over_new` has seen
        with _PLACES:
            login = Program(self.route.keeping())
            status = _ended(login, SLOW_S)
        status = _ended(login, STARTS_WITHIN_S) if status is None else status
        said = login.errors().decode(errors="replace")
        login.close()
        if status is None:
            raise OSError(f"no login within {STARTS_WITHIN_S:g} s")
        if status != 0:
            raise unreachable(self.route, said)
        # A host of which nothing is known yet has the time that its runner has.
        return _over(kept, start, STARTS_WITHIN_S)

    def _login_alone(self, start: Callable[[Callable[[str], Stream]], Shell]) -> Shell:
        """A connection that ends with its one session."""
        programs: list[Program] = []

        def opened(command: str) -> Program:
            programs.append(Program(self.route.argv(command)))
            return programs[-1]

        with _PLACES:
            shell = start(opened)
            shell.started(SLOW_S)
        try:
            shell.wait(STARTS_WITHIN_S)
        except OSError as error:
            status, said = programs[0].status(), programs[0].errors().decode(errors="replace")
            shell.close()
            if status == _NO_CONNECTION:
                raise unreachable(self.route, said) from None
            raise OSError(str(error)) from None
        return shell


def _over(kept: Path, start: Callable[[Callable[[str], Stream]], Shell], seconds: float) -> Shell:
    """What runs in a session over an open connection, which the host opens within so many seconds."""
    shell = start(lambda command: Session(kept, command, seconds))
    try:
        shell.wait()
    except OSError:
        shell.close()
        raise
    return shell


def _ended(login: Program, seconds: float) -> int | None:
    """How the `ssh` of `Route.keeping` ended, 0 where the connection stands; None where it still tries."""
    ends = time.monotonic() + seconds
    while (status := login.status(min(_LOOK_S, max(0.0, ends - time.monotonic())))) is None:
        # Another command made the same connection in the meantime: this one has nothing to keep, and would stay.
        if _ANOTHERS in login.errors():
            return 0
        if time.monotonic() >= ends:
            return None
    return status


def unreachable(route: Route, said: str) -> Unreachable:
    """What `ssh` said of a connection that it did not get, as one sentence."""
    lines = [line.strip() for line in said.splitlines() if line.strip()] or ["ssh said nothing"]
    last = lines[-1].removeprefix("ssh: ")
    if "HOST IDENTIFICATION HAS CHANGED" in said:
        text = (
            f"found another host key than the one in {route.known_hosts}, expected that one; ssh-keygen -R removes it"
        )
        return Unreachable(text)
    if "Host key verification failed" in said:
        return Unreachable(f"found no key of {route.destination} in {route.known_hosts}, expected the host's own there")
    for line in reversed(lines):
        if "Permission denied (" in line or "Too many authentication failures" in line:
            keys = f"{route.key}" if route.key else "a key of yours"
            # A host that is jumped over says the same of itself.
            return Unreachable(
                f"no login ({line}), expected {keys} to be let in", refused=f"@{route.destination}: " in line
            )
    if "timed out" in last:
        return Unreachable(f"no SSH within {CONNECTS_WITHIN_S} s ({last})")
    hung_up = any("kex_exchange_identification" in line for line in lines)
    if hung_up and not any("open failed" in line for line in lines):
        return Unreachable("no SSH (it hung up at once, as sshd does with too many logins under way)", crowded=True)
    return Unreachable(f"no SSH ({next((line for line in lines if 'open failed' in line), last)})")
