"""All commands of one connection, run by one process on the host, side by side or one by one, each framed by itself.

A session a command is most of what pyinfra and testinfra cost: a fork of sshd, a login shell, sudo, and a round trip.
Here the host's side is `runner.pl`, started once. Binary output, missing newlines, commands that fail or hang do not
mix: exit code, standard output and standard error are each command's own.
"""

from __future__ import annotations

import secrets
import shlex
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from mainstay.transport.printed import Printed
from mainstay.transport.streams import Stream

# Questions of one host that run side by side: hosts have few processors, and most questions wait for nothing.
SIDE_BY_SIDE = 4
QUESTION_LIMIT_S = 120.0
# What one change of a run may take, where the operator does not say otherwise: the first copy of a database is one.
DEADLINE_S = 3600.0
STARTS_WITHIN_S = 30.0
# What is waited beyond a command's own limit, which the host enforces: after it, the host is not there any more.
GRACE_S = 20.0
# How long the end of what is read is waited for where nothing can be written any more.
LAST_WORDS_S = 1.0
# What a question may answer at most; of a change that prints more, this much is kept.
LONGEST = 1 << 28
_PIECE = 1 << 18
# The kind of a change whose limit is a deadline.
_ENDS = "d"
# Reads the runner's text and runs it. It follows a line with the nonce: what comes before that is a password that sudo
# did not ask for.
_BOOT = (
    "sub r{sysread(STDIN,$s,$_[0],length$s)||exit 9}"
    "r(1)until$s=~/^$ARGV[1]\\n/m;$s='';r($ARGV[0]-length$s)while length$s<$ARGV[0];eval$s;die$@if$@"
)


@dataclass(frozen=True)
class Answer:
    """What came of one command.

    Attributes:
        status: exit code; 128 and the signal's number where a signal ended it.
        printed: its output.
    """

    status: int
    printed: Printed

    @property
    def pieces(self) -> Iterator[tuple[bool, bytes]]:
        """What it printed in the order in which it came; True is standard error."""
        return self.printed.pieces()

    @property
    def out(self) -> bytes:
        """Standard output."""
        return b"".join(piece for is_error, piece in self.pieces if not is_error)

    @property
    def err(self) -> bytes:
        """Standard error."""
        return b"".join(piece for is_error, piece in self.pieces if is_error)


@dataclass(frozen=True)
class Question:
    """A command that changes nothing; `limit` in seconds."""

    command: str
    limit: float = QUESTION_LIMIT_S


class Forgotten(Exception):
    """A question was ended because something changes the host, or was not run because the change before it failed."""


@dataclass
class _Request:
    future: Future[Answer]
    limit: float
    ends: bool = False
    printed: Printed = field(default_factory=Printed)


def _command_line(nonce: str, sudo: str, side_by_side: int) -> str:
    """The command that starts the runner; its text follows on standard input, so no process list shows it."""
    return f"{sudo}perl -e {shlex.quote(_BOOT)} {len(_program())} {nonce} {side_by_side} {LONGEST}"


@cache
def _program() -> bytes:
    return (Path(__file__).parent / "runner.pl").read_bytes()


class Shell:
    """The runner on one host.

    Every method may be called from any thread. Answers come as futures, which raise `TimeoutError` where a command
    took longer than its limit (a question is ended then, a change goes on by itself unless that is its deadline),
    `Forgotten`, or `OSError` where the connection is gone.

    Args:
        open_stream: starts a command on the host.
        before: what is written first, before the runner's own text: a password that sudo may ask for.
        side_by_side: how many questions run at once; with 1, they run in the order of asking.
    """

    def __init__(
        self,
        open_stream: Callable[[str], Stream],
        *,
        sudo: str = "sudo -n -H ",
        before: bytes = b"",
        side_by_side: int = SIDE_BY_SIDE,
    ) -> None:
        self._nonce = secrets.token_hex(16)
        self._requests: dict[int, _Request] = {}
        self._lock = threading.Lock()  # of what is sent: a frame is whole
        self._numbers = 0
        self._gone = ""
        self._started = threading.Event()
        self._stream = open_stream(_command_line(self._nonce, sudo, side_by_side))
        with suppress(OSError, EOFError):  # where it did not start, what it said last is the reason that counts
            self._stream.write(before + f"{self._nonce}\n".encode() + _program())
        self._reader = threading.Thread(target=self._read, daemon=True, name="answers")
        self._reader.start()

    @property
    def alive(self) -> bool:
        """Whether commands can still be sent, as far as this side knows."""
        return not self._gone

    def started(self, seconds: float) -> bool:
        """Whether the runner runs, or has ended already, within `seconds`."""
        return self._started.wait(seconds)

    def wait(self, seconds: float = STARTS_WITHIN_S) -> None:
        """Waits until the runner runs; commands may be sent before.

        Raises:
            OSError: it ended, with its own last words, or did not start within `seconds`.
        """
        if not self._started.wait(seconds):
            self._fail(f"no shell within {seconds:g} s")
        if self._gone:
            raise OSError(self._gone)

    def ask(self, command: str, stdin: bytes = b"", limit: float = 0) -> Future[Answer]:
        """Has a command run that changes nothing, beside others; `limit` in seconds, 0 for none."""
        return self._send("q", command, stdin, limit, 0)

    def ask_all(self, questions: Sequence[Question]) -> list[Future[Answer]]:
        """Asks questions, all in one message."""
        frames, futures = b"", []
        with self._lock:
            for one in questions:
                head, future = self._frame("q", one.command, 0, one.limit, 0)
                frames += head
                futures.append(future)
            self._write(frames)
        return futures

    def change(
        self, command: str, stdin: bytes = b"", limit: float = 0, group: int = 0, *, ends: bool = False
    ) -> Future[Answer]:
        """Has a command run alone, after those before it; questions that still run are ended.

        Args:
            limit: seconds, 0 for none.
            group: changes of one group follow each other only while each ends with 0; the others are `Forgotten`.
            ends: the limit is a deadline: the command is told to end then, and what follows waits until it has.
        """
        return self._send(_ENDS if ends else "c", command, stdin, limit, group)

    def forget(self) -> None:
        """Ends the questions that still run."""
        self._send("f", "", b"", 0, 0)

    def close(self) -> None:
        """Ends it; what waits for an answer fails."""
        self._fail("the connection was closed")
        self._stream.close()

    def _send(self, kind: str, command: str, stdin: bytes, limit: float, group: int) -> Future[Answer]:
        with self._lock:
            head, future = self._frame(kind, command, len(stdin), limit, group)
            self._write(head + stdin[:_PIECE])
            for start in range(_PIECE, len(stdin), _PIECE):
                self._write(stdin[start : start + _PIECE])
        return future

    def _frame(
        self, kind: str, command: str, input_bytes: int, limit: float, group: int
    ) -> tuple[bytes, Future[Answer]]:
        """A request's first bytes, up to its standard input, and what will hold its answer."""
        self._numbers += 1
        request = _Request(Future(), limit, kind == _ENDS)
        if kind != "f":
            self._requests[self._numbers] = request
        text = command.encode("utf-8", "surrogateescape")
        sizes = b"%d %.6f %d %d %d" % (self._numbers, limit, group, len(text), input_bytes)
        return b"%s %s\n%s" % (kind.encode(), sizes, text), request.future

    def _write(self, data: bytes) -> None:
        if self._gone:
            self._fail(self._gone)
            return
        try:
            self._stream.write(data)
        except (OSError, EOFError) as error:
            self._reader.join(LAST_WORDS_S)  # what the other side said last is the better reason
            self._fail(f"the connection broke: {error or type(error).__name__}")

    def _fail(self, reason: str) -> None:
        self._gone = self._gone or reason
        self._started.set()
        for number in list(self._requests):
            request = self._requests.pop(number, None)
            if request is not None:
                request.future.set_exception(OSError(self._gone))

    def _read(self) -> None:
        reason = "the connection broke"
        try:
            buffer = self._await_start()
            while True:
                head, buffer = self._until(b"\n", buffer)
                kind, number, rest = head.decode("ascii").split()
                if kind == "b":
                    self._fail("the host could not read a request")
                    return
                if kind == "x":
                    self._end(int(number), rest)
                    continue
                while len(buffer) < int(rest):
                    buffer += self._more()
                piece = bytes(buffer[: int(rest)])
                del buffer[: int(rest)]
                request = self._requests.get(int(number))
                if request is not None:
                    request.printed.add(kind == "e", piece)
        except (OSError, EOFError) as error:
            reason = self._stream.last_words() or str(error) or reason
        except ValueError:
            reason = "the host answered with something else than an answer"
        self._fail(reason)

    def _await_start(self) -> bytearray:
        """What comes after the runner's first words; what a profile prints before them is dropped."""
        _, buffer = self._until(b"\n%s ready\n" % self._nonce.encode(), bytearray())
        self._started.set()
        return buffer

    def _until(self, end: bytes, buffer: bytearray) -> tuple[bytearray, bytearray]:
        while (place := buffer.find(end)) < 0:
            buffer += self._more()
        return buffer[:place], buffer[place + len(end) :]

    def _more(self) -> bytes:
        piece = self._stream.read()
        if not piece:
            raise EOFError
        return piece

    def _end(self, number: int, word: str) -> None:
        request = self._requests.pop(number, None)
        if request is None:
            return
        if word == "t":
            ended = ", its deadline, and was ended" if request.ends else ""
            request.future.set_exception(TimeoutError(f"took longer than {request.limit:g} s{ended}"))
        elif word == "l":
            request.future.set_exception(OSError(f"answered more than {LONGEST >> 20} MB, expected less"))
        elif word in ("k", "s"):
            request.future.set_exception(Forgotten())
        else:
            request.future.set_result(Answer(int(word), request.printed))


def result(future: Future[Answer], limit: float) -> Answer:
    """The answer, waited for as long as its limit allows.

    Raises:
        TimeoutError, Forgotten, OSError: as `Shell` says.
    """
    most = limit + GRACE_S if limit else None
    try:
        return future.result(most)
    except TimeoutError as error:
        if error.args:  # the command's own
            raise
        raise TimeoutError(f"no answer within {most:g} s to a command that may take {limit:g} s") from None
