"""Changes that hang on a host that answers end at their deadline, and nothing runs beside what is left of them."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from mainstay.transport.shell import Forgotten, Shell, result
from mainstay.transport.streams import Program
from tests.unit.wires import wired

OVER = "took longer than 0.5 s, its deadline, and was ended"


@pytest.fixture
def shell() -> Iterator[Shell]:
    one = Shell(lambda command: Program(["sh", "-c", command]), sudo="")
    yield one
    one.close()


def test_a_change_that_hangs_is_ended_with_what_it_started(shell: Shell) -> None:
    hanging = shell.change("sleep 48.25 & sleep 48.25; echo woke", limit=0.5, ends=True)
    with pytest.raises(TimeoutError, match=OVER):
        result(hanging, 0.5)
    assert result(shell.change("pgrep -f 'sleep 48.2[5]' || true"), 5).out == b""


def test_what_has_a_group_of_its_own_is_ended_too(shell: Shell) -> None:
    """`timeout` makes one; the scripts on hosts run each check in it."""
    for trap in ("", "trap '' TERM; "):
        hanging = shell.change(f'timeout -k 5 300 sh -c "{trap}sleep 48.75; :"; echo woke', limit=0.5, ends=True)
        with pytest.raises(TimeoutError, match=OVER):
            result(hanging, 0.5)
        assert result(shell.change("sleep 0.2; pgrep -f 'sleep 48.7[5]' || true"), 5).out == b""


def test_it_may_put_itself_right_and_what_follows_waits_for_that(shell: Shell, tmp_path: Path) -> None:
    state = tmp_path / "state"
    undoes = f"trap 'sleep 1; echo undone > {state}; exit 1' TERM; echo half > {state}; sleep 60 & wait"
    hanging = shell.change(undoes, limit=0.5, ends=True)
    after = shell.change(f"cat {state}")
    with pytest.raises(TimeoutError, match=OVER):
        result(hanging, 0.5)
    assert result(after, 5).out == b"undone\n"


def test_what_does_not_listen_is_killed_before_anything_follows(shell: Shell, tmp_path: Path) -> None:
    deaf = f"trap '' TERM; while sleep 0.2; do date +%s.%N > {tmp_path}/last; done"
    hanging = shell.change(deaf, limit=0.5, ends=True)
    after = shell.change(f"cp {tmp_path}/last {tmp_path}/then; sleep 0.6; cmp {tmp_path}/last {tmp_path}/then")
    started = time.monotonic()
    with pytest.raises(TimeoutError, match=OVER):
        result(hanging, 0.5)
    assert 10 < time.monotonic() - started < 15
    assert result(after, 5).status == 0, "it still wrote when the next change ran"


def test_what_stands_behind_it_in_its_group_is_not_run(shell: Shell, tmp_path: Path) -> None:
    hanging = shell.change("sleep 60", limit=0.5, group=7, ends=True)
    behind = shell.change(f"touch {tmp_path}/behind", limit=0.5, group=7, ends=True)
    with pytest.raises(TimeoutError, match=OVER):
        result(hanging, 0.5)
    with pytest.raises(Forgotten):
        result(behind, 0.5)
    assert not (tmp_path / "behind").exists()


def test_input_that_comes_too_slowly_is_no_whole_and_the_next_request_is_understood(tmp_path: Path) -> None:
    with wired() as (shell, wire):
        command = f"cat > {tmp_path}/half && touch {tmp_path}/whole"
        wire.write(b"d 1 0.5 0 %d 1000\n%sonly this" % (len(command), command.encode()))
        time.sleep(1.5)
        wire.write(b"x" * (1000 - len("only this")))
        assert result(shell.change("echo next"), 5).out == b"next\n"
        assert not (tmp_path / "whole").exists()


@pytest.mark.parametrize("limit", [5, 0])
def test_one_that_ends_in_time_is_like_any_other(shell: Shell, limit: float) -> None:
    answer = result(shell.change("cat; echo wrong >&2; exit 3", b"there", limit=limit, ends=True), 5)
    assert (answer.status, answer.out, answer.err) == (3, b"there", b"wrong\n")


def test_it_ends_without_a_connection_too(tmp_path: Path) -> None:
    with wired() as (shell, wire):
        shell.change(f"trap 'touch {tmp_path}/told; exit' TERM; sleep 60 & wait", limit=1, ends=True)
        time.sleep(0.3)
        wire.close()
        assert wire.runner.wait(5) == 0
    assert (tmp_path / "told").exists()
