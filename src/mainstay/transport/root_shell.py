"""testinfra's way to a host, as Mainstay uses it: one connection for all checks of a suite, and what they ask, ahead.

testinfra's own `ssh://` starts a program here and a session with sudo there for every command, which is most of what
a verification costs. Here every command goes through one `Shell`, and those of the last run of the same suites on this
host are sent with the first one, in their order. Each answer serves once: a check that asks again is answered anew.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from typing import Any

from testinfra.backend import BACKENDS
from testinfra.backend.base import BaseBackend, CommandResult
from typing_extensions import override

from mainstay.errors import MainstayError
from mainstay.secrets import mask
from mainstay.transport.link import Link
from mainstay.transport.memory import Memory
from mainstay.transport.route import Route
from mainstay.transport.shell import Answer, Question, Shell, result

SCHEME = "mainstay"


class Replay:
    """The commands of suites on one host, in order; those of last time are sent ahead.

    Checks only read, and some wait (for a clock, for a unit), so that what a command answers may depend on those before
    it: the host runs them one by one, as they came last time. One that was not asked last time ends what is ahead; what
    followed in its place is sent again behind it: as many as were expected since the one before it, and more with each
    that is. So commands that are others in each run (a date, a mark) cost a host a few more, and not the rest of the
    suite each time.
    """

    def __init__(self, shell: Shell, script: Sequence[Question]) -> None:
        """`shell`: one that runs questions one by one; `script` may grow: it may be what another host is asked."""
        self._shell = shell
        self._script = script
        self._next = 0  # the place in the script of the first that is ahead
        self._ahead: deque[tuple[Question, Future[Answer]]] = deque()
        self._most = len(self._script)  # how many may be ahead
        self._used = 0  # how many answers were taken since the last command that nobody expected
        self.asked: list[Question] = []
        self.anew = False
        self._send_ahead()

    def run(self, command: str) -> Answer:
        """What came of it.

        Raises:
            TimeoutError, OSError: as `Shell` says.
        """
        question = Question(command)
        if self.anew:
            (sent,) = self._shell.ask_all([question])
            return result(sent, question.limit)
        if mask(command) == command:
            self.asked.append(question)
        place = next((number for number, (one, _) in enumerate(self._ahead) if one == question), None)
        if place is None:
            return self._unexpected(question)
        for _ in range(place):
            self._ahead.popleft()
        sent = self._ahead.popleft()[1]
        self._next += place + 1
        self._used += 1
        if 2 * len(self._ahead) <= self._most < len(self._script):
            self._most *= 2
            self._send_ahead()
        return result(sent, question.limit)

    def _unexpected(self, question: Question) -> Answer:
        beyond = self._next + len(self._ahead)
        if self._ahead:
            self._ahead.clear()
            self._shell.forget()
        (sent,) = self._shell.ask_all([question])
        later = self._script[beyond:]
        self._next = beyond + later.index(question) + 1 if question in later else self._next + 1
        self._most, self._used = max(1, self._used), 0
        self._send_ahead()
        return result(sent, question.limit)

    def _send_ahead(self) -> None:
        more = self._script[self._next + len(self._ahead) : self._next + self._most]
        self._ahead.extend(zip(more, self._shell.ask_all(more), strict=True))


class RootShell(BaseBackend):  # type: ignore[misc]  # testinfra's types are not seen
    """`mainstay://HOST`: commands run as root, or as the user that `host.sudo(user)` names.

    Raises:
        RuntimeError: no connection, or no answer within a question's limit; it is what testinfra's own backends raise.
    """

    NAME = SCHEME
    memory: Memory | None = None
    routes: Callable[[str], Route]
    alike: Callable[[str], str] = staticmethod(str)
    opened: dict[str, list[Question]]

    def __init__(self, hostspec: str, ssh_config: str = "", *args: Any, ahead: bool = True, **kwargs: Any) -> None:
        """`ahead`: false where the host is not under test, but asked a thing or two about another one."""
        super().__init__(hostspec, *args, **kwargs)
        self.ssh_config = ssh_config
        self._memory = self.memory if ahead else None
        self._shell: Shell | None = None
        self._replay: Replay | None = None

    @override
    def run(self, command: str, *args: str, **kwargs: Any) -> CommandResult:
        wanted = self.quote(command, *args)
        if self.sudo_user is not None:
            wanted = self.get_sudo_command(wanted, self.sudo_user)
        try:
            answer = self._opened().run(wanted)
        except (OSError, MainstayError) as error:
            if self._shell is not None:
                self._shell.close()
            raise RuntimeError(f"{self.hostname}: no answer to {command[:80]!r}: {error}") from error
        return self.result(answer.status, self.encode(wanted), answer.out, answer.err)

    @contextmanager
    def anew(self) -> Iterator[None]:
        """For a check that waits: what is asked in here is asked now, is answered by nothing that was asked ahead, and
        is not asked ahead next time, when all that the check waited for would be asked at once, and too early."""
        replay = self._opened()
        replay.anew = True
        try:
            yield
        finally:
            replay.anew = False

    def _opened(self) -> Replay:
        if self._replay is None or self._shell is None or not self._shell.alive:
            self._shell = Link(self.routes(self.hostname)).shell(side_by_side=1)
            kind = self.alike(self.hostname)
            self._replay = Replay(self._shell, self._script(kind))
            if self._memory:
                self.opened |= {self.hostname: self._replay.asked, kind: self._replay.asked}
        return self._replay

    def _script(self, kind: str) -> Sequence[Question]:
        """What was asked last time, or else what is asked in this run of the host of this kind that came before; none
        where it is another connection in the middle of a suite."""
        if self._memory is None or self._replay is not None:
            return []
        return self._memory.of(self.hostname, kind) or self.opened.get(kind, [])


def register(memory: Memory, alike: Callable[[str], str], routes: Callable[[str], Route]) -> None:
    """Makes testinfra know `mainstay://`, with the commands of the last run in `memory`.

    Args:
        alike: what hosts of one kind have in common, by host name: a host that was never verified is asked what another
            one of its kind was.
        routes: how a host is reached, by host name.
    """
    RootShell.memory, RootShell.opened = memory, {}
    RootShell.routes = staticmethod(routes)
    RootShell.alike = staticmethod(alike)
    BACKENDS[SCHEME] = f"{__name__}.{RootShell.__name__}"


def remember() -> None:
    """Keeps what this run asked for the next one."""
    if RootShell.memory is not None and RootShell.opened:
        RootShell.memory.keep(RootShell.opened)
