"""Plans and applies are the same whether a host's answers are asked one by one, or known and asked ahead; where hosts
wait for each other."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest


def in_a_process(module: str, word: str, timeout: float = 60) -> subprocess.CompletedProcess[str]:
    """`tests.unit.<module>`, apart: pyinfra patches the standard library that pytest lives on."""
    return subprocess.run(
        [sys.executable, "-m", f"tests.unit.{module}", word],
        cwd=Path(__file__).parents[2], capture_output=True, text=True, check=False, timeout=timeout,
    )  # fmt: skip


def test_a_pass_over_random_deploys_is_the_same_with_and_without_what_is_known() -> None:
    """Random interleavings of reads and writes, failing operations among them, over whatever was remembered."""
    done = in_a_process("passes", "25", timeout=300)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]


@pytest.mark.parametrize(
    ("how", "order"),
    [("works", "then-other slow then-slow then-waits"), ("fails", "then-other then-waits")],
)
def test_only_hosts_that_have_it_wait_at_it_and_for_nobody_who_has_failed(how: str, order: str) -> None:
    done = in_a_process("ahead", how)
    assert done.stdout.strip() == order, done.stdout + done.stderr[-3000:]


@pytest.mark.parametrize(("how", "found"), [("changes", "old new 4"), ("reads", "old old 2")])
def test_what_others_change_is_asked_anew_and_where_none_did_nothing_is(how: str, found: str) -> None:
    """Bench found it: an apply with nothing to do asked each host a third of its questions twice."""
    done = in_a_process("meeting", how)
    assert done.stdout.strip() == found, done.stdout + done.stderr[-3000:]
