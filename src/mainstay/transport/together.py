"""Questions that are sent at the same time: those of a family go as one, and each has its own answer all the same.

Where one of them hangs, the others of its family wait until `TOGETHER_LIMIT_S`; then each is asked by itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field

from mainstay.families import Family, family_of
from mainstay.transport.printed import Printed
from mainstay.transport.shell import Answer, Forgotten, Question, Shell

TOGETHER_LIMIT_S = 30.0


@dataclass
class _Group:
    """Questions that go as one; one that belongs to no family, or stands alone in its own, goes as it is."""

    family: Family | None
    places: list[int] = field(default_factory=list)


def ask(shell: Shell, questions: Sequence[Question]) -> list[Future[Answer]]:
    """Asks questions, all in one message; their answers in the same order.

    A question whose answer could not be told from the others' is `Forgotten`: whoever wants it asks it again.
    """
    groups = _grouped(questions)
    sent = shell.ask_all([_as_one(group, questions) for group in groups])
    found: dict[int, Future[Answer]] = {}
    for group, future in zip(groups, sent, strict=True):
        if len(group.places) == 1:
            found[group.places[0]] = future
            continue
        own = [Future[Answer]() for _ in group.places]
        found |= zip(group.places, own, strict=True)
        commands = [questions[place].command for place in group.places]
        assert group.family is not None  # noqa: S101  only those of a family are more than one
        _part_when_there(group.family, commands, future, own)
    return [found[place] for place in range(len(questions))]


def _grouped(questions: Sequence[Question]) -> list[_Group]:
    """The groups, in the order of their first questions."""
    groups: list[_Group] = []
    by_key: dict[tuple[int, str], _Group] = {}
    for place, question in enumerate(questions):
        belongs = family_of(question.command)
        if belongs is None:
            groups.append(_Group(None, [place]))
            continue
        family, key = belongs
        group = by_key.get((id(family), key))
        if group is None:
            by_key[id(family), key] = group = _Group(family)
            groups.append(group)
        group.places.append(place)
    return groups


def _as_one(group: _Group, questions: Sequence[Question]) -> Question:
    members = [questions[place] for place in group.places]
    if len(members) == 1 or group.family is None:
        return members[0]
    limit = min([TOGETHER_LIMIT_S, *(one.limit for one in members if one.limit)])
    return Question(group.family.joined([one.command for one in members]), limit)


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
