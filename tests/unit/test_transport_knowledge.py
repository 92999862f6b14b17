"""What is known of a host: whatever is asked ahead and whatever changes in between, an answer is the host's own."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mainstay.transport.knowledge import BELIEVED_S, Knowledge
from mainstay.transport.root_shell import Replay
from mainstay.transport.shell import Question, Shell, result
from mainstay.transport.streams import Program

FILES = 4


@pytest.fixture(scope="module")
def shell() -> Iterator[Shell]:
    one = Shell(lambda command: Program(["sh", "-c", command]), sudo="")
    yield one
    one.close()


@pytest.fixture(scope="module")
def one_by_one() -> Iterator[Shell]:
    one = Shell(lambda command: Program(["sh", "-c", command]), sudo="", side_by_side=1)
    yield one
    one.close()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("host")


def asks(folder: Path, number: int) -> Question:
    return Question(f"cat {folder}/{number} 2>/dev/null || echo none")


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("ask"), st.integers(0, FILES), st.just("")),
        st.tuples(st.just("change"), st.integers(0, FILES - 1), st.text("abc", min_size=1, max_size=3)),
    ),
    max_size=15,
)


@given(steps=STEPS, remembered=st.lists(st.integers(0, FILES + 1), max_size=8))
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_answers_are_those_of_a_host_that_is_asked_each_time(
    shell: Shell, folder: Path, steps: list[tuple[str, int, str]], remembered: list[int]
) -> None:
    result(shell.change(f"rm -f {folder}/*"), 10)
    knowledge = Knowledge(shell, [asks(folder, number) for number in remembered])
    state: dict[int, str] = {}
    for kind, number, text in steps:
        if kind == "ask":
            found = knowledge.ask(asks(folder, number)).out.decode().strip()
            assert found == state.get(number, "none")
        else:
            knowledge.changed()
            sent = shell.change(f"echo {text} > {folder}/{number}")
            knowledge.foresee()
            result(sent, 10)
            state[number] = text


def counting(folder: Path, name: str) -> Question:
    """A question that leaves a trace on the host of having been asked."""
    return Question(f"echo {name} >> {folder}/trace; echo {name}")


def trace(folder: Path) -> list[str]:
    path = folder / "trace"
    return path.read_text().split() if path.exists() else []


def test_what_was_asked_last_time_goes_with_the_first_question(shell: Shell, tmp_path: Path) -> None:
    questions = [counting(tmp_path, name) for name in "abcdef"]
    knowledge = Knowledge(shell, questions)
    for question in questions:
        assert knowledge.ask(question).out.decode().strip() == question.command[-1]
    assert sorted(trace(tmp_path)) == list("abcdef"), "each was asked once"
    assert (knowledge.counts.questions, knowledge.counts.known) == (6, 5)
    assert list(knowledge.asked) == questions


def test_a_host_nobody_remembers_is_asked_one_by_one_and_never_twice(shell: Shell, tmp_path: Path) -> None:
    knowledge = Knowledge(shell)
    for name in "aabba":
        knowledge.ask(counting(tmp_path, name))
    assert trace(tmp_path) == ["a", "b"]


def test_after_a_change_only_what_follows_is_asked_again_more_with_each_question(shell: Shell, tmp_path: Path) -> None:
    questions = [counting(tmp_path, name) for name in "abcdefgh"]
    knowledge = Knowledge(shell, questions)
    knowledge.ask(questions[0])
    result(shell.change(f"rm -f {tmp_path}/trace"), 10)
    knowledge.changed()
    knowledge.ask(questions[2])
    result(shell.ask("true"), 10)
    assert "c" in trace(tmp_path) and set(trace(tmp_path)) <= set("cd")
    knowledge.ask(questions[4])
    result(shell.change("true"), 10)
    assert set(trace(tmp_path)) <= set("cdefg"), "one, then two of those that follow"


def test_after_a_change_that_came_late_the_next_is_expected_as_late(shell: Shell, tmp_path: Path) -> None:
    """And not as soon as the second command of that one change, which no question stands before."""
    questions = [counting(tmp_path, name) for name in "abcdefgh"]
    knowledge = Knowledge(shell, questions)
    for question in questions[:3]:
        knowledge.ask(question)
    result(shell.change(f"rm -f {tmp_path}/trace"), 10)
    knowledge.changed()
    knowledge.changed()
    for question in questions[3:7]:
        assert knowledge.ask(question).out.decode().strip() == question.command[-1]
    assert knowledge.counts.known == 2 + 3, "three were on their way with the first"
    assert sorted(trace(tmp_path)) == list("defg")


def test_what_came_next_last_time_goes_along_with_a_change_and_sees_what_it_did(shell: Shell, tmp_path: Path) -> None:
    look = Question(f"cat {tmp_path}/new 2>/dev/null || echo none")
    knowledge = Knowledge(shell, [counting(tmp_path, "a"), look])
    knowledge.ask(counting(tmp_path, "a"))
    knowledge.changed()
    sent = shell.change(f"sleep 0.3; echo there > {tmp_path}/new")
    knowledge.foresee()
    result(sent, 10)
    before = knowledge.counts.known
    assert knowledge.ask(look).out == b"there\n"
    assert knowledge.counts.known == before + 1


def test_a_question_with_a_secret_is_answered_and_not_kept(shell: Shell) -> None:
    knowledge = Knowledge(shell)
    assert knowledge.ask(Question("echo hunter2"), remember=False).out == b"hunter2\n"
    assert not knowledge.asked


def test_what_was_asked_long_ago_is_asked_again(shell: Shell, tmp_path: Path) -> None:
    now = [0.0]
    knowledge = Knowledge(shell, clock=lambda: now[0])
    knowledge.ask(counting(tmp_path, "a"))
    now[0] = BELIEVED_S - 1
    knowledge.ask(counting(tmp_path, "a"))
    assert trace(tmp_path) == ["a"]
    now[0] = BELIEVED_S + 1
    knowledge.ask(counting(tmp_path, "a"))
    assert trace(tmp_path) == ["a", "a"]


def test_what_was_asked_before_a_change_of_another_host_ended_is_asked_again(shell: Shell, tmp_path: Path) -> None:
    now = [0.0]
    knowledge = Knowledge(shell, clock=lambda: now[0])
    for now[0], name in ((1.0, "a"), (2.0, "b"), (3.0, "c")):
        knowledge.ask(counting(tmp_path, name))
    knowledge.changed_elsewhere(2.0)
    for name in "abc":
        knowledge.ask(counting(tmp_path, name))
    assert trace(tmp_path) == list("abcab")


def test_a_question_that_another_change_ended_is_asked_again(shell: Shell) -> None:
    knowledge = Knowledge(shell, [Question("sleep 0.4; echo late")])
    knowledge.ask(Question("echo first"))
    shell.change("true")
    assert knowledge.ask(Question("sleep 0.4; echo late")).out == b"late\n"


def test_a_question_over_its_limit_is_told_and_costs_the_others_nothing(shell: Shell) -> None:
    knowledge = Knowledge(shell, [Question("sleep 30", limit=1), Question("echo b")])
    assert knowledge.ask(Question("echo a")).out == b"a\n"
    assert knowledge.ask(Question("echo b")).out == b"b\n"
    with pytest.raises(TimeoutError):
        knowledge.ask(Question("sleep 30", limit=1))


@given(script=st.lists(st.integers(0, 3), max_size=8), suite=st.lists(st.integers(0, 4), max_size=8))
@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_suite_has_the_answers_of_one_that_asks_in_turn(
    one_by_one: Shell, folder: Path, script: list[int], suite: list[int]
) -> None:
    """Each command counts itself, so that its answer depends on how often it was asked before in this suite."""
    result(one_by_one.change(f"rm -f {folder}/*"), 10)
    replay = Replay(one_by_one, [Question(f"echo x >> {folder}/{number}; echo {number}", 120) for number in script])
    for number in suite:
        assert replay.run(f"echo x >> {folder}/{number}; echo {number}").out == b"%d\n" % number
    assert [question.command[-1] for question in replay.asked] == [str(number) for number in suite]


def test_a_check_that_waits_is_waited_for_by_those_behind_it(one_by_one: Shell, tmp_path: Path) -> None:
    """A clock is waited for, then looked at: last time's order holds, however long the first takes."""
    suite = [f"sleep 2.5; echo set > {tmp_path}/clock", f"cat {tmp_path}/clock || echo unset"]
    replay = Replay(one_by_one, [Question(command, 120) for command in suite])
    assert [replay.run(command).out for command in suite] == [b"", b"set\n"]


def test_what_is_looked_at_again_is_not_what_was_asked_ahead(one_by_one: Shell, tmp_path: Path) -> None:
    """A check that waited last time asked the same thing thrice; this time it is made after the first look."""
    look = f"cat {tmp_path}/made || echo none"
    replay = Replay(one_by_one, [Question(command, 120) for command in (look, look, look, "echo last")])
    assert replay.run(look).out == b"none\n"
    (tmp_path / "made").write_text("made\n")
    replay.anew = True
    assert replay.run(look).out == b"made\n"
    replay.anew = False
    assert replay.run("echo last").out == b"last\n"
    assert [question.command for question in replay.asked] == [look, "echo last"]


def test_a_new_check_is_answered_before_what_follows_it(one_by_one: Shell, tmp_path: Path) -> None:
    look = f"cat {tmp_path}/made || echo none"
    replay = Replay(one_by_one, [Question("echo first", 120), Question(look, 120)])
    assert replay.run("echo first").out == b"first\n"
    replay.run(f"sleep 0.2; echo made > {tmp_path}/made")
    assert replay.run(look).out == b"made\n"


@pytest.mark.parametrize("every", [1, 3, 10])
def test_commands_that_are_others_in_each_run_do_not_have_the_rest_asked_again_each_time(
    one_by_one: Shell, tmp_path: Path, every: int
) -> None:
    """Of sixty commands each `every`-th has a mark of its own run; all count themselves, between checks that think."""

    def suite(run: str) -> list[str]:
        marks = [f"-{run}" if number % every == 0 else "" for number in range(60)]
        return [f"echo x >> {tmp_path}/all; echo {number}{mark}" for number, mark in enumerate(marks)]

    replay = Replay(one_by_one, [Question(command, 120) for command in suite("before")])
    for number, command in enumerate(suite("now")):
        time.sleep(0.03)
        assert replay.run(command).out.decode().split("-")[0].strip() == str(number)
    assert len((tmp_path / "all").read_text().splitlines()) < 3 * 60


def test_checks_that_are_left_out_this_time_are_passed_over(one_by_one: Shell) -> None:
    """Behind a command that nobody expected as well, however many they are."""
    script = [f"echo {number}" for number in range(100)]
    replay = Replay(one_by_one, [Question(command, 120) for command in script])
    wanted = ["echo 3", "echo new", "echo 70", "echo 71", "echo 99"]
    assert [replay.run(command).out.decode() for command in wanted] == ["3\n", "new\n", "70\n", "71\n", "99\n"]
    assert len(replay._ahead) == 0


def test_a_host_without_a_past_is_asked_what_the_one_before_it_was_in_this_run(
    one_by_one: Shell, tmp_path: Path
) -> None:
    """Suite by suite, as pytest goes over hosts: the second suite is on neither host's list when its turn comes."""
    first, second = (["echo a", "echo b"], ["echo c", f"cat {tmp_path}/later || echo none", "echo d"])
    leader = Replay(one_by_one, [])
    follower: Replay | None = None
    for suite in (first, second):
        for command in suite:
            leader.run(command)
        follower = follower or Replay(one_by_one, leader.asked)
        follower.run(suite[0])
        assert [question.command for question, _ in follower._ahead] == suite[1:]
        for command in suite[1:]:
            follower.run(command)
    assert follower is not None and follower.asked == leader.asked
