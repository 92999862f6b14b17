"""A run's result is shown whatever the operator presses while it is shown."""

from __future__ import annotations

import signal
from collections.abc import Iterator

import pytest

from mainstay.cli import reporting
from mainstay.engine.report import EnvironmentResult, RunResult


class Interrupting(list[EnvironmentResult]):
    """Results of environments; who reads them is interrupted by Ctrl-C, once."""

    pressed = False

    def __iter__(self) -> Iterator[EnvironmentResult]:
        if not self.pressed:
            self.pressed = True
            signal.raise_signal(signal.SIGINT)
        return super().__iter__()


@pytest.mark.parametrize("as_json", [False, True])
def test_ctrl_c_when_everything_is_done_keeps_the_result(capfd: pytest.CaptureFixture[str], *, as_json: bool) -> None:
    before = signal.getsignal(signal.SIGINT)
    done = RunResult("tiny", "rollout", Interrupting([EnvironmentResult("tiny/staging", "run-1", "abc")]))
    assert reporting.carry_out(lambda reporter, stop: done, as_json=as_json) == 0
    said = capfd.readouterr()
    assert "run-1" in said.out
    assert "nothing was left to stop" in said.err
    assert signal.getsignal(signal.SIGINT) is before
