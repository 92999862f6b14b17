"""Commands of this machine as streams, and their lines as they come."""

from __future__ import annotations

import os
import time

import pytest

from mainstay.transport.streams import Lines, Program


def lines_of(script: str) -> tuple[Program, Lines]:
    program = Program(["sh", "-c", script])
    return program, Lines(program)


def test_lines_come_one_by_one_and_the_end_is_seen() -> None:
    program, lines = lines_of("echo held; while read -r beat; do echo ok; done; printf rest")
    assert lines.first(5) == b"held"
    assert lines.come() == [] and not lines.ended
    program.write(b"beat\nbeat\n")
    assert [lines.first(5), lines.first(5)] == [b"ok", b"ok"]
    program.write(b"")
    program._to.close()
    assert lines.first(5) == b"rest"
    assert lines.ended
    program.close()


def test_a_command_that_says_nothing_is_waited_for_no_longer_than_said() -> None:
    program, lines = lines_of("exec sleep 20")
    started = time.monotonic()
    with pytest.raises(TimeoutError, match=r"no answer within 0\.5 s"):
        lines.first(0.5)
    assert time.monotonic() - started < 2
    program.close()
    assert lines.first(5) == b"" and lines.ended


def test_a_command_that_ended_says_why() -> None:
    program, lines = lines_of("echo one >&2; echo 'the reason' >&2; exit 7")
    assert lines.first(5) == b""
    assert program.last_words() == "the reason" and program.status() == 7


def test_ctrl_c_at_the_terminal_is_not_for_what_runs_here() -> None:
    """A rollout that is interrupted goes on to put its hosts back, over these very programs."""
    program, lines = lines_of("ps -o pgid= -p $$; pwd")
    assert int(lines.first(5)) != os.getpgrp()
    assert lines.first(5) == b"/", "what it leaves running holds no folder of a project"
    program.close()
