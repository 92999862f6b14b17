"""Connections that are lost, one way after the other: a change is finished, half of an input is never the whole."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from mainstay.transport.shell import Shell, result
from mainstay.transport.streams import Program
from tests.unit.wires import PRINTS, Wire, comes, opened, said, wired


@pytest.mark.parametrize("limit", [0, 0.3])
@pytest.mark.parametrize("breaks", [Wire.no_output, Wire.no_input, Wire.close])
def test_a_change_that_prints_goes_on_when_the_connection_breaks(
    tmp_path: Path, breaks: Callable[[Wire], None], limit: float
) -> None:
    with wired() as (shell, wire):
        shell.change(PRINTS.format(tmp_path), limit=limit)
        time.sleep(0.5)
        breaks(wire)
        assert comes(tmp_path / "done")
        if breaks is not Wire.no_output:
            assert wire.runner.wait(5) == 0, "the runner ends with it"


# Slow to tell the time when the connection has gone; what is waited for ends meanwhile, and its signal wakes nobody.
SLOW_TO_TELL = """package SlowToTell;
use POSIX ();
no warnings "redefine";
my $times = \\&POSIX::times;
*POSIX::times = sub {
    if (-c STDOUT) {
        open my $go, ">", "$ENV{SLOW}/go";
        my $until = time + 2;
        select undef, undef, undef, 0.1 while time < $until;
    }
    return $times->();
};
1;
"""


def test_the_runner_ends_with_the_last_change_whenever_that_ends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "SlowToTell.pm").write_text(SLOW_TO_TELL)
    for name, value in {"PERL5LIB": str(tmp_path), "PERL5OPT": "-MSlowToTell", "SLOW": str(tmp_path)}.items():
        monkeypatch.setenv(name, value)
    with wired() as (shell, wire):
        shell.change(f"while [ ! -e {tmp_path}/go ]; do echo more; sleep 0.1; done")
        time.sleep(0.3)
        wire.close()
        assert wire.runner.wait(10) == 0


HALF = "trap '' TERM; cat > {0}/half; echo whole > {0}/whole"


@pytest.mark.parametrize("limit", [0, 0.3])
@pytest.mark.parametrize("first", ["no_output", "no_input"])
def test_half_of_an_input_is_never_the_whole_whatever_breaks_first(tmp_path: Path, first: str, limit: float) -> None:
    """Where it ignores that it is told to end, too."""
    with wired() as (_, wire):
        command = "(while echo says; do sleep 0.1; done) & " + HALF.format(tmp_path)
        wire.write(b"c 1 %g 0 %d 1000\n%sonly this" % (limit, len(command), command.encode()))
        assert comes(tmp_path / "half")
        time.sleep(0.5)
        getattr(wire, first)()
        wire.write(b" and this") if first == "no_output" else None
        time.sleep(0.3)
        wire.close()
        wire.runner.wait(8)
        assert (tmp_path / "half").exists() and not (tmp_path / "whole").exists()


def test_a_question_ends_where_nobody_hears_its_answer(tmp_path: Path) -> None:
    """One that prints finds the output closed before the input is; the other one is ended with it."""
    with wired() as (shell, wire):
        shell.ask(f"trap '' TERM; sleep 1.5; echo done > {tmp_path}/done")
        shell.ask("while sleep 0.1; do echo more; done")
        time.sleep(0.3)
        wire.no_output()
        assert wire.runner.wait(1.4) == 0
        assert not comes(tmp_path / "done", 2)


def test_a_question_that_ignores_its_end_ends_with_the_connection(tmp_path: Path) -> None:
    with wired() as (shell, wire):
        asked = shell.ask(f"trap '' TERM; sleep 1.5; echo done > {tmp_path}/done", limit=0.3)
        with pytest.raises(TimeoutError):
            result(asked, 5)
        wire.close()
        wire.runner.wait(1)
        assert not comes(tmp_path / "done", 2)


def test_a_host_that_goes_fails_what_waits_for_it() -> None:
    with opened() as one:
        waiting = one.ask("sleep 30")
        runner = int(said(one.ask("ps -o ppid= -p $$"))[1])
        one.ask(f"kill -9 {runner}")
        with pytest.raises(OSError):
            result(waiting, 5)
        with pytest.raises(OSError):
            result(one.ask("true"), 5)


def test_a_change_whose_input_breaks_off_is_ended(tmp_path: Path) -> None:
    """Half a file must not look like a whole one."""
    target = f"{tmp_path}/half"
    program = None

    def open_stream(command: str) -> Program:
        nonlocal program
        program = Program(["sh", "-c", command])
        return program

    one = Shell(open_stream, sudo="")
    one.wait()
    assert program is not None
    program.write(b"c 1 0 0 %d 1000\n" % len(f"cat > {target}; echo whole >> {target}.whole"))
    program.write(f"cat > {target}; echo whole >> {target}.whole".encode() + b"only this")
    time.sleep(0.3)
    one.close()
    time.sleep(0.5)
    assert subprocess.run(["test", "-e", f"{target}.whole"], check=False).returncode == 1
