"""The runner and its client, on this machine: what comes back is what each command did, whatever runs beside it."""

from __future__ import annotations

import os
import shlex
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mainstay.transport import shell as module
from mainstay.transport.shell import Forgotten, Shell, result
from tests.unit.wires import comes, opened, said, wired


@pytest.fixture(scope="module")
def shell() -> Iterator[Shell]:
    with opened() as one:
        yield one


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


def test_what_a_change_left_behind_may_print(shell: Shell, tmp_path: Path) -> None:
    script = f"(sleep 0.3; echo late; echo late; echo done > {tmp_path}/done) & echo started"
    assert said(shell.change(script)) == (0, b"started\n", b"")
    assert comes(tmp_path / "done")


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


def test_a_signal_is_told_as_shells_tell_it(shell: Shell) -> None:
    assert said(shell.ask("kill -9 $$"))[0] == 137


def test_a_pipe_that_breaks_ends_its_writer(shell: Shell) -> None:
    """An ignored SIGPIPE would be inherited, and `yes` would go on for ever."""
    assert said(shell.ask("yes | head -n 1", limit=5)) == (0, b"y\n", b"")


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
