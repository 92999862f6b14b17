"""Questions that go as one: the host starts less, and every answer is the one of its own question."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mainstay import families
from mainstay.families import Family
from mainstay.transport import together
from mainstay.transport.knowledge import Knowledge
from mainstay.transport.shell import Forgotten, Question, Shell, result
from mainstay.transport.streams import Program

_SAYS = re.compile(r"say (\w+)")


@pytest.fixture(scope="module")
def shell() -> Iterator[Shell]:
    one = Shell(lambda command: Program(["sh", "-c", command]), sudo="")
    yield one
    one.close()


@pytest.fixture(params=["parted", "never parted", "fails", "hangs"])
def family(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A shape `: say WORD; echo WORD`, and a trace of how it was asked: a line a process."""
    monkeypatch.setattr(families, "_FAMILIES", {})
    monkeypatch.setattr(together, "TOGETHER_LIMIT_S", 1.0)
    trace, kind = tmp_path / "trace", request.param
    ends = {"fails": "exit 3", "hangs": "sleep 60"}.get(kind, ":")

    def joined(commands: Sequence[str]) -> str:
        return f"echo together >> {trace}; {'; '.join(commands)}; {ends}"

    def parted(commands: Sequence[str], out: bytes) -> list[bytes] | None:
        return out.splitlines(keepends=True) if kind == "parted" else None

    families.register("says", Family(lambda command: "" if ": say" in command else None, joined, parted))
    return trace


def says(trace: Path, word: str) -> Question:
    return Question(f": say {word}; echo {word} >> {trace}; echo {word}", 30)


def test_each_gets_its_own_answer_however_that_goes(shell: Shell, family: Path) -> None:
    questions = [says(family, word) for word in ("one", "two", "three")]
    knowledge = Knowledge(shell, questions)
    started = time.monotonic()
    assert [knowledge.ask(one).out for one in questions] == [b"one\n", b"two\n", b"three\n"]
    assert time.monotonic() - started < 10, "one that hangs is waited for until the limit of those asked together"
    knowledge.changed()
    assert [knowledge.ask(one).out for one in questions] == [b"one\n", b"two\n", b"three\n"]


@pytest.mark.parametrize("family", ["parted"], indirect=True)
def test_they_are_asked_once_and_others_go_beside_them(shell: Shell, family: Path) -> None:
    other = Question("echo other; echo wrong >&2; exit 4")
    answers = [result(one, 10) for one in together.ask(shell, [says(family, "a"), other, says(family, "b")])]
    assert [(one.status, one.out, one.err) for one in answers] == [
        (0, b"a\n", b""),
        (4, b"other\n", b"wrong\n"),
        (0, b"b\n", b""),
    ]
    assert family.read_text().split() == ["together", "a", "b"]


@pytest.mark.parametrize("family", ["parted"], indirect=True)
def test_one_that_stands_alone_goes_as_it_is(shell: Shell, family: Path) -> None:
    assert result(together.ask(shell, [says(family, "a")])[0], 10).out == b"a\n"
    assert family.read_text().split() == ["a"]


@pytest.mark.parametrize("family", ["hangs"], indirect=True)
def test_a_change_ends_them_all(shell: Shell, family: Path) -> None:
    asked = together.ask(shell, [says(family, "a"), says(family, "b")])
    result(shell.change("true"), 10)
    for one in asked:
        with pytest.raises(Forgotten):
            result(one, 10)


@given(words=st.lists(st.tuples(st.booleans(), st.sampled_from("abc")), max_size=8))
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@pytest.mark.parametrize("family", ["parted", "never parted"], indirect=True)
def test_answers_are_those_of_each_question_by_itself(
    shell: Shell, family: Path, words: list[tuple[bool, str]]
) -> None:
    """Of the family or of none, in any order: with and without, the same."""
    questions = [says(family, word) if of_family else Question(f"printf {word}") for of_family, word in words]
    knowledge = Knowledge(shell, list(dict.fromkeys(questions)))
    alone = [result(shell.ask(one.command), 10).out for one in questions]
    assert [knowledge.ask(one).out for one in questions] == alone
