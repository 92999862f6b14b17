"""Commands that take too long: a question is ended, a change goes on."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import Future
from pathlib import Path

import pytest

from mainstay.transport import shell as module
from mainstay.transport.shell import Shell, result
from tests.unit.wires import PRINTS, comes, opened, said


@pytest.fixture(scope="module")
def shell() -> Iterator[Shell]:
    with opened() as one:
        yield one


def test_a_hanging_question_ends_at_its_limit_and_holds_nobody_up(shell: Shell) -> None:
    started = time.monotonic()
    hanging = [shell.ask("sleep 60; echo woke", limit=4) for _ in range(6)]
    quick = [shell.ask(f"echo {n}") for n in range(20)]
    assert [said(future)[1] for future in quick] == [b"%d\n" % n for n in range(20)]
    assert time.monotonic() - started < 4, "the others waited for what hangs"
    for future in hanging:
        with pytest.raises(TimeoutError, match="took longer than 4 s"):
            result(future, 4)
    assert time.monotonic() - started < 12


def test_what_a_hanging_question_started_is_ended_with_it(shell: Shell) -> None:
    """Its own children too, and those that ignore being asked to end."""
    command = "trap '' TERM; sh -c 'trap \"\" TERM; sleep 47.5' & sh -c 'trap \"\" TERM; sleep 47.5'"
    with pytest.raises(TimeoutError):
        result(shell.ask(command, limit=0.5), 5)
    deadline = time.monotonic() + 10
    while said(shell.ask("pgrep -f 'sleep 47.[5]' || true"))[1] and time.monotonic() < deadline:
        time.sleep(0.2)
    assert said(shell.ask("pgrep -f 'sleep 47.[5]' || true"))[1] == b""


def test_a_change_over_its_limit_is_not_cut_short(shell: Shell, tmp_path: Path) -> None:
    """A put-back that takes long must not be left half done."""
    script = f"trap 'echo told >> {tmp_path}/told' TERM; sleep 1.5; echo done > {tmp_path}/done"
    with pytest.raises(TimeoutError):
        result(shell.change(script, limit=0.3), 5)
    assert said(shell.change("echo next"))[1] == b"next\n"
    deadline = time.monotonic() + 6
    while not (tmp_path / "done").exists() and time.monotonic() < deadline:
        time.sleep(0.1)
    assert (tmp_path / "done").exists() and not (tmp_path / "told").exists()


def test_a_change_that_prints_goes_on_over_its_limit(shell: Shell, tmp_path: Path) -> None:
    """apt says a line a package: a closed pipe would end it at the next one."""
    with pytest.raises(TimeoutError):
        result(shell.change(PRINTS.format(tmp_path), limit=0.3), 5)
    assert said(shell.change("echo next"))[1] == b"next\n"
    assert comes(tmp_path / "done")


@pytest.mark.parametrize("limit", [1e6, 123456789.5, 1e-3])
def test_a_limit_of_any_size_is_understood(shell: Shell, limit: float) -> None:
    assert result(shell.change("cat", b"there", limit=max(limit, 1)), 5).out == b"there"
    if limit < 1:
        with pytest.raises(TimeoutError):
            result(shell.ask("sleep 5", limit=limit), 5)


def test_an_answer_that_never_comes_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "GRACE_S", 0.1)
    with pytest.raises(TimeoutError, match=r"^no answer within 0.3 s to a command that may take 0.2 s$"):
        result(Future(), 0.2)
