"""What is known of one host, until something changes it; and what is asked ahead, because it was asked last time.

A guess that is wrong costs the host a question that nobody wanted; never a wrong answer. The key is the exact command
with its user and shell, and nothing is believed that was asked before the last change.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass

from mainstay.transport import together
from mainstay.transport.shell import Answer, Forgotten, Question, Shell, result

# A host changes by itself too: what was asked longer ago is asked again.
BELIEVED_S = 60.0


@dataclass
class Counts:
    """How a host was asked: questions of this side, and how many of them were known, or on their way, already."""

    questions: int = 0
    known: int = 0


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
        self._next = 0  # the place of the question that followed the one asked last
        self._clock = clock
        self._known: dict[Question, tuple[float, Future[Answer]]] = {}
        # How many of the remembered questions go along with one that is asked: all of them on a host that nothing has
        # changed yet; after a change, as many as were asked between it and the one before, as the next may be as far
        # away; and more with each question that no change has followed.
        self._ahead = max(1, len(self._remembered))
        self._untouched = True
        self._since_change = 0
        self._lock = threading.Lock()
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
        self._since_change += 1
        if remember:
            self.asked.setdefault(question)
        self._next = self._places.get(question, self._next - 1) + 1
        with self._lock:  # what is being asked ahead is not asked once more by those who wait beside
            future = self._believed(question)
            if future is not None:
                self.counts.known += 1
            else:
                future = self._send(question)
        try:
            return result(future, question.limit)
        except Forgotten:  # something else changed the host in between, or its answer was not to be told from others'
            with self._lock:
                self._ask([question])
                future = self._known[question][1]
            return result(future, question.limit)

    def changed(self) -> None:
        """Something was or is about to be changed: whatever was answered before is not believed any more."""
        self._known.clear()
        if self._since_change or self._untouched:  # else it is one more command of the same change
            self._ahead = max(1, self._since_change)
        self._since_change, self._untouched = 0, False

    def changed_elsewhere(self, until: float) -> None:
        """Other hosts were changed, and so may this one have been: what was asked before that ended is not believed.

        Args:
            until: when it ended, by the same clock.
        """
        self._known = {question: known for question, known in self._known.items() if known[0] > until}

    def foresee(self) -> None:
        """Sends, behind a change that was just sent, the question that came next last time: one wait for both."""
        with self._lock:
            self._ask(self._remembered[self._next : self._next + 1])

    def _believed(self, question: Question) -> Future[Answer] | None:
        moment, future = self._known.get(question, (0.0, None))
        return future if self._clock() - moment < BELIEVED_S else None

    def _send(self, question: Question) -> Future[Answer]:
        """Asks it, and after it those that followed it last time."""
        first = 0 if self._untouched else self._next
        later = self._remembered[first : first + self._ahead]
        wanted = [question, *(one for one in later if one != question and self._believed(one) is None)]
        self._ask(wanted)
        self._ahead, self._untouched = 2 * self._ahead, False
        return self._known[question][1]

    def _ask(self, questions: Sequence[Question]) -> None:
        now = self._clock()
        self._known |= {
            one: (now, future) for one, future in zip(questions, together.ask(self._shell, questions), strict=True)
        }
