"""The runner and its client, on this machine: what comes back is what each command did, whatever runs beside it."""

from __future__ import annotations

import os
import shlex
import subprocess
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mainstay.transport import shell as module
from mainstay.transport.shell import Answer, Forgotten, Shell, result
from mainstay.transport.streams import Program
from tests.unit.wires import Wire, wired


@contextmanager
def opened(profile: str = "") -> Iterator[Shell]:
    shell = Shell(lambda command: Program(["sh", "-c", f"{profile}\n{command}"]), sudo="")
    try:
        yield shell
    finally:
        shell.close()


def comes(path: Path, seconds: float = 6) -> bool:
    """Whether the file is there by then."""
    deadline = time.monotonic() + seconds
    while not path.exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    return path.exists()


@pytest.fixture(scope="module")
def shell() -> Iterator[Shell]:
    with opened() as one:
        yield one


def said(future: Future[Answer]) -> tuple[int, bytes, bytes]:
    answer = result(future, 30)
    return answer.status, answer.out, answer.err


BYTES = st.binary(max_size=300)
COMMANDS = st.lists(st.tuples(st.booleans(), BYTES, BYTES, st.integers(0, 255)), min_size=1, max_size=12)


def printing(out: bytes, err: bytes, status: int) -> str:
    def octal(data: bytes) -> str:
        return shlex.quote("".join(f"\\0{byte:03o}" for byte in data))

    return f"printf %b {octal(out)}; printf %b {octal(err)} >&2; exit {status}"


@given(commands=COMMANDS)
@settings(max_examples=60, deadline=None)
def test_every_command_has_its_own_bytes_and_exit_code(
    shell: Shell, commands: list[tuple[bool, bytes, bytes, int]]
) -> None:
    """Questions and changes in any order: NUL bytes, no newline at the end, bytes that are no text."""
    sent = []
    for is_change, out, err, status in commands:
        asked = shell.change if is_change else shell.ask
        sent.append((asked(printing(out, err, status)), is_change, (status, out, err)))
    for place, (future, is_change, expected) in enumerate(sent):
        followed = any(later_is_change for _, later_is_change, _ in sent[place + 1 :])
        try:
            assert said(future) == expected
        except Forgotten:
            assert followed and not is_change, "only a question that a change followed may be ended"


@given(lines=st.lists(st.binary(max_size=2000), max_size=5))
@settings(max_examples=30, deadline=None)
def test_standard_input_arrives_as_it_was_sent(shell: Shell, lines: list[bytes]) -> None:
    text = b"\n".join(lines)
    assert said(shell.change("cat", text)) == (0, text, b"")
    assert said(shell.ask("cat", text)) == (0, text, b"")


def test_a_command_without_input_reads_nothing(shell: Shell) -> None:
    assert said(shell.ask("cat; echo end")) == (0, b"end\n", b"")


def test_fifty_megabytes_come_back_whole(shell: Shell) -> None:
    answer = result(shell.ask("head -c 52428800 /dev/zero"), 60)
    assert (answer.status, len(answer.out)) == (0, 52428800)


def test_twenty_megabytes_of_input_arrive_whole(shell: Shell) -> None:
    data = bytes(range(256)) * 81920
    told = subprocess.run(["sha256sum"], input=data, capture_output=True, check=True).stdout
    assert said(shell.change("sha256sum", data)) == (0, told, b"")


def test_input_that_nobody_reads_is_dropped(shell: Shell) -> None:
    assert said(shell.change("exit 3", b"x" * 5_000_000)) == (3, b"", b"")
    assert said(shell.change("echo next")) == (0, b"next\n", b"")


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


PRINTS = "for n in 1 2 3 4 5 6; do echo $n; echo $n >&2; sleep 0.2; done; echo done > {}/done"


def test_a_change_that_prints_goes_on_over_its_limit(shell: Shell, tmp_path: Path) -> None:
    """apt says a line a package: a closed pipe would end it at the next one."""
    with pytest.raises(TimeoutError):
        result(shell.change(PRINTS.format(tmp_path), limit=0.3), 5)
    assert said(shell.change("echo next"))[1] == b"next\n"
    assert comes(tmp_path / "done")


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


def test_what_a_change_left_behind_may_print(shell: Shell, tmp_path: Path) -> None:
    script = f"(sleep 0.3; echo late; echo late; echo done > {tmp_path}/done) & echo started"
    assert said(shell.change(script)) == (0, b"started\n", b"")
    assert comes(tmp_path / "done")


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


def test_a_change_ends_the_questions_in_hand_and_runs_alone(shell: Shell) -> None:
    waiting = [shell.ask("sleep 30") for _ in range(6)]
    changed = shell.change("sleep 0.3; date +%s%N")
    after = shell.ask("date +%s%N")
    assert int(said(after)[1]) > int(said(changed)[1]), "a question ran beside the change before it"
    for future in waiting:
        with pytest.raises(Forgotten):
            result(future, 5)


SLOW_TO_GROUP = """package SlowToGroup;
*CORE::GLOBAL::setpgrp = sub { select undef, undef, undef, 2 unless $_[0]; CORE::setpgrp($_[0], $_[1]) };
1;
"""


def test_a_question_that_has_just_begun_is_ended_too(tmp_path: Path) -> None:
    """It went on beside the change, once in fifty times on a busy host, where it had not made itself a group yet."""
    (tmp_path / "SlowToGroup.pm").write_text(SLOW_TO_GROUP)
    with opened(f"export PERL5LIB={tmp_path} PERL5OPT=-MSlowToGroup") as shell:
        shell.wait()
        asked = shell.ask(f"echo late > {tmp_path}/trace")
        time.sleep(0.1)
        result(shell.change("sleep 2.5"), 10)
        with pytest.raises(Forgotten):
            result(asked, 5)
        assert not (tmp_path / "trace").exists()


def test_forgetting_ends_questions_only(shell: Shell) -> None:
    waiting = shell.ask("sleep 30")
    shell.forget()
    with pytest.raises(Forgotten):
        result(waiting, 5)
    assert said(shell.ask("echo on")) == (0, b"on\n", b"")


def test_changes_of_a_group_stop_at_the_first_failure(shell: Shell) -> None:
    sent = [shell.change(text, group=7) for text in ("echo one", "exit 4", "echo three")]
    big = shell.change("cat", b"x" * 3_000_000, group=7)
    other = shell.change("echo other", group=8)
    assert said(sent[0]) == (0, b"one\n", b"")
    assert said(sent[1])[0] == 4
    for future in (sent[2], big):
        with pytest.raises(Forgotten):
            result(future, 5)
    assert said(other) == (0, b"other\n", b"")


def test_a_process_left_behind_does_not_hold_the_answer(shell: Shell) -> None:
    started = time.monotonic()
    assert said(shell.change("echo started; sleep 5 &")) == (0, b"started\n", b"")
    assert time.monotonic() - started < 3


SLOW_TO_READ = """package SlowToRead;
*CORE::GLOBAL::sysread = sub (*\\$$;$) {
    my ($from, $into, $most, $at) = @_;
    select undef, undef, undef, 0.02 if $most == 65536;
    CORE::sysread($from, $$into, $most, $at // 0);
};
1;
"""


@pytest.mark.parametrize("is_change", [True, False])
def test_a_process_left_behind_that_prints_without_pause_holds_nobody_up(tmp_path: Path, is_change: bool) -> None:
    """It filled the pipe as fast as that was read, on a busy host, and nothing more was answered."""
    (tmp_path / "SlowToRead.pm").write_text(SLOW_TO_READ)
    with opened(f"export PERL5LIB={tmp_path} PERL5OPT=-MSlowToRead") as one:
        sent = (one.change if is_change else one.ask)("yes & sleep 0.3; echo hi", limit=20)
        assert result(sent, 5).status == 0
        assert said(one.ask("echo next", limit=20)) == (0, b"next\n", b"")


@pytest.mark.parametrize("limit", [1e6, 123456789.5, 1e-3])
def test_a_limit_of_any_size_is_understood(shell: Shell, limit: float) -> None:
    assert result(shell.change("cat", b"there", limit=max(limit, 1)), 5).out == b"there"
    if limit < 1:
        with pytest.raises(TimeoutError):
            result(shell.ask("sleep 5", limit=limit), 5)


@pytest.mark.parametrize("head", [b"c 1 1e+06 0 4 0\ntrue", b"z 1 0 0 4 0\ntrue", b"\n", b"x" * 300])
def test_a_request_that_cannot_be_read_ends_the_connection(head: bytes) -> None:
    """Else both would wait for ever."""
    with wired() as (shell, wire):
        wire.write(head)
        with pytest.raises(OSError, match="the host could not read a request"):
            for _ in range(50):
                result(shell.ask("true"), 5)
                time.sleep(0.1)
        assert wire.runner.wait(5) == 0


def test_an_answer_that_never_comes_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "GRACE_S", 0.1)
    with pytest.raises(TimeoutError, match=r"^no answer within 0.3 s to a command that may take 0.2 s$"):
        result(Future(), 0.2)


def test_a_signal_is_told_as_shells_tell_it(shell: Shell) -> None:
    assert said(shell.ask("kill -9 $$"))[0] == 137


def test_a_pipe_that_breaks_ends_its_writer(shell: Shell) -> None:
    """An ignored SIGPIPE would be inherited, and `yes` would go on for ever."""
    assert said(shell.ask("yes | head -n 1", limit=5)) == (0, b"y\n", b"")


def test_what_a_profile_prints_is_no_answer() -> None:
    with opened("echo 'Welcome! x 1 0'; printf 'o 1 5'; echo to stderr >&2") as one:
        assert said(one.ask("echo hello")) == (0, b"hello\n", b"")


def test_a_shell_that_does_not_start_says_why() -> None:
    with opened("echo 'sudo: a password is required' >&2; exit 1") as one:
        with pytest.raises(OSError, match="sudo: a password is required"):
            one.wait(5)
        with pytest.raises(OSError, match="a password is required"):
            result(one.ask("true"), 5)
        assert not one.alive


PASSWORD = "correct horse battery"
# Stand-ins for sudo: each runs what it is given, as the user who asks.
ASKS = (
    "read -r said; [ \"$said\" = 'correct horse battery' ] || { echo 'Sorry, try again.' >&2; no=$((no+1)); continue; }"
)
SUDO = f"""#!/bin/sh
while [ "$1" != perl ]; do shift; done
no=0
while [ $no -lt 3 ]; do {ASKS}; exec "$@"; done
echo 'sudo: 3 incorrect password attempts' >&2
exit 1
"""
SUDO_THAT_ASKS_NOTHING = """#!/bin/sh
while [ "$1" != perl ]; do shift; done
exec "$@"
"""


def with_sudo(folder: Path, script: str, password: str) -> Shell:
    program = folder / "sudo"
    program.write_text(script)
    program.chmod(0o755)
    before = f"{password}\n".encode()
    return Shell(lambda text: Program(["sh", "-c", text]), sudo=f"{program} -S -p '' -H ", before=before)


@pytest.mark.parametrize("script", [SUDO, SUDO_THAT_ASKS_NOTHING])
def test_a_password_is_given_to_whoever_asks_and_dropped_else(tmp_path: Path, script: str) -> None:
    """A host whose sudo asks for none, or not again, ran it as the first line of the runner."""
    one = with_sudo(tmp_path, script, PASSWORD)
    try:
        one.wait()
        assert said(one.ask("echo hello")) == (0, b"hello\n", b"")
        assert said(one.change("cat", b"input")) == (0, b"input", b"")
    finally:
        one.close()


def test_a_wrong_password_is_one_sentence_without_it(tmp_path: Path) -> None:
    one = with_sudo(tmp_path, SUDO, "not that one")
    try:
        with pytest.raises(OSError, match=r"^sudo: 3 incorrect password attempts$"):
            one.wait()
        with pytest.raises(OSError, match=r"^sudo: 3 incorrect password attempts$"):
            result(one.ask("true"), 5)
    finally:
        one.close()


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


def test_a_question_without_end_is_ended_and_costs_the_others_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "LONGEST", 3 << 20)
    with opened() as one:
        endless, quick = one.ask("yes"), [one.ask(f"echo {n}") for n in range(8)]
        much = one.ask("head -c 3000000 /dev/zero")
        assert [said(future)[1] for future in quick] == [b"%d\n" % n for n in range(8)]
        with pytest.raises(OSError, match="answered more than 3 MB"):
            result(endless, 10)
        assert len(said(much)[1]) == 3_000_000
        status, out, _ = said(one.change("head -c 5000000 /dev/zero; exit 3"))
        assert status == 3 and len(out) <= 3 << 20, "a change is not ended, what it says is not kept for ever"
        assert said(one.ask("pgrep -f '[y]es$' -P $PPID || true"))[1] == b""


def test_a_long_answer_is_not_held_in_memory(shell: Shell) -> None:
    before = resident()
    answers = [result(shell.ask("head -c 52428800 /dev/zero; echo end >&2"), 60) for _ in range(4)]
    assert resident() - before < 40 << 20, "200 MB of answers that nobody has read"
    for answer in answers:
        assert len(answer.out) == 52428800 and answer.err == b"end\n"


def resident() -> int:
    pages = Path("/proc/self/statm").read_text().split()[1]
    return int(pages) * os.sysconf("SC_PAGE_SIZE")
