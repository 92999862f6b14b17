"""What is known of one host, until something changes it; and what is asked ahead, because it was asked last time.

A guess that is wrong costs the host a question that nobody wanted; never a wrong answer. The key is the exact command
with its user and shell, and nothing is believed that was asked before the last change.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass

from mainstay.transport.shell import Answer, Forgotten, Shell, result

# A host changes by itself too: what was asked longer ago is asked again.
BELIEVED_S = 60.0
QUESTION_LIMIT_S = 120.0


@dataclass(frozen=True)
class Question:
    """A command that changes nothing; `limit` in seconds."""

    command: str
    limit: float = QUESTION_LIMIT_S


@dataclass
class Counts:
    """How a host was asked: questions of this side, those that were known already, and round trips waited for."""

    questions: int = 0
    known: int = 0
    trips: int = 0


class Knowledge:
    """Answers about one host, for one pass over it.

    Attributes:
        asked: every question of this pass that may be remembered, in the order of asking.
    """

    def __init__(
        self, shell: Shell, remembered: Sequence[Question] = (), clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._shell = shell
        self._remembered = list(remembered)
        self._places = {question: place for place, question in enumerate(self._remembered)}
        self._clock = clock
        self._known: dict[Question, tuple[float, Future[Answer]]] = {}
        # How many of the remembered questions go along with one that is asked: all of them on a host that nothing has
        # changed yet; after a change, more with each question that no change has followed.
        self._ahead = max(1, len(self._remembered))
        self._untouched = True
        self.asked: dict[Question, None] = {}
        self.counts = Counts()

    def ask(self, question: Question, *, remember: bool = True) -> Answer:
        """The answer, known or asked for.

        Args:
            remember: false for what must not be written down (it carries a secret).

        Raises:
            TimeoutError: it took longer than its limit.
            OSError: the connection is gone.
        """
        self.counts.questions += 1
        if remember:
            self.asked.setdefault(question)
        future = self._believed(question)
        if future is not None:
            self.counts.known += 1
        else:
            future = self._send(question)
        if not future.done():
            self.counts.trips += 1
        try:
            return result(future, question.limit)
        except Forgotten:  # something else changed the host in between
            self._known.pop(question, None)
            return result(self._send(question), question.limit)

    def changed(self) -> None:
        """Something was or is about to be changed: whatever was answered before is not believed any more."""
        self._known.clear()
        self._ahead, self._untouched = 1, False

    def _believed(self, question: Question) -> Future[Answer] | None:
        moment, future = self._known.get(question, (0.0, None))
        return future if self._clock() - moment < BELIEVED_S else None

    def _send(self, question: Question) -> Future[Answer]:
        """Asks it, and after it those that followed it last time."""
        now = self._clock()
        future = self._shell.ask(question.command, limit=question.limit)
        self._known[question] = (now, future)
        first = 0 if self._untouched else self._places.get(question, -1) + 1
        for later in self._remembered[first : first + self._ahead]:
            if self._believed(later) is None:
                self._known[later] = (now, self._shell.ask(later.command, limit=later.limit))
        self._ahead, self._untouched = 2 * self._ahead, False
        return future
