"""Questions that are sent at the same time: those of a family go as one, and each has its own answer all the same.

Where one of them hangs, the others of its family wait until `TOGETHER_LIMIT_S`; then each is asked by itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Future
from typing import Any

from mainstay.families import Family, family_of
from mainstay.transport.printed import Printed
from mainstay.transport.shell import Answer, Forgotten, Question, Shell

TOGETHER_LIMIT_S = 30.0


def ask(shell: Shell, questions: Sequence[Question]) -> list[Future[Answer]]:
    """Asks questions, all in one message; their answers in the same order.

    A question whose answer could not be told from the others' is `Forgotten`: whoever wants it asks it again.
    """
    groups = grouped(questions)
    sent = shell.ask_all([_as_one(family, group) for family, group in groups])
    found: dict[Question, list[Future[Answer]]] = {}
    for (family, group), future in zip(groups, sent, strict=True):
        own = [future]
        if family is not None:
            own = [Future[Answer]() for _ in group]
            _part_when_there(family, [one.command for one in group], future, own)
        for question, answer in zip(group, own, strict=True):
            found.setdefault(question, []).append(answer)
    return [found[question].pop(0) for question in questions]


def grouped(questions: Sequence[Question]) -> list[tuple[Family | None, list[Question]]]:
    """What goes as one, in the order of the first questions; without a family where one goes as it is."""
    groups: dict[Any, list[Question]] = {}
    for place, question in enumerate(questions):
        groups.setdefault(family_of(question.command) or place, []).append(question)
    return [(key[0] if len(group) > 1 else None, group) for key, group in groups.items()]


def _as_one(family: Family | None, group: Sequence[Question]) -> Question:
    if family is None:
        return group[0]
    limit = min([TOGETHER_LIMIT_S, *(one.limit for one in group if one.limit)])
    return Question(family.joined([one.command for one in group]), limit)


def _part_when_there(
    family: Family, commands: Sequence[str], future: Future[Answer], own: Sequence[Future[Answer]]
) -> None:
    def part(done: Future[Answer]) -> None:
        parts = None
        if done.exception() is None and done.result().status == 0:
            parts = family.parted(commands, done.result().out)
        for place, one in enumerate(own):
            if parts is None:
                one.set_exception(Forgotten())
            else:
                printed = Printed()
                printed.add(False, parts[place])
                one.set_result(Answer(0, printed))

    future.add_done_callback(part)
