"""One writer an environment: a lock on every host, held by a process there that ends when this laptop falls silent.

Whoever holds one host's lock may still put that host back; whoever holds none must not touch anything. A new writer
needs all of them, so holding any keeps others out.
"""

from __future__ import annotations

import json
import shlex
import socket
import threading
import time
from collections import deque
from dataclasses import dataclass, field
from types import TracebackType

from mainstay import hostkit
from mainstay.engine.gate import taken
from mainstay.errors import HostError, LeaseError
from mainstay.fleet import Fleet
from mainstay.transport.streams import Lines, Stream

BEAT_S = 5.0
SILENCE_S = 15.0  # the host script `lease` ends after this long without a beat
MARGIN_S = 1.0  # this side calls it lost before the host does
ANSWER_S = 15.0


def awake() -> float:
    """Seconds on a clock that goes on while a laptop sleeps: a lease does not survive a closed lid."""
    return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))


@dataclass
class _Held:
    stream: Stream
    lines: Lines
    acknowledged: float
    sent: deque[float] = field(default_factory=deque)


class Lease:
    """The locks of one writer, on the hosts of one fleet; a context that gives them back."""

    def __init__(self, fleet: Fleet, holder: dict[str, str]) -> None:
        """`holder`: operator, machine, since, command: what a second operator is told."""
        self.fleet = fleet
        self.holder = holder
        self.lost: dict[str, str] = {}
        self._held: dict[str, _Held] = {}
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None

    def __enter__(self) -> Lease:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()

    def take(self, names: list[str]) -> None:
        """Locks each host, in sorted order so that two writers meet at the first.

        Raises:
            LeaseError: somebody else writes; the sentence says who, since when, for what.
            HostError: a host does not answer.
        """
        if self._thread is None:
            self._thread = threading.Thread(target=self._beat, daemon=True, name="lease")
            self._thread.start()
        for name in sorted(names):
            if name not in self._held:
                self._take_one(name)

    def holds(self, name: str) -> bool:
        """Whether this laptop still has the host's lock, judged by the last beat that the host answered."""
        held = self._held.get(name)
        return held is not None and awake() - held.acknowledged < SILENCE_S - MARGIN_S

    def check(self) -> None:
        """Ends a writer that holds nothing any more.

        Raises:
            LeaseError: no host is held; nothing more may be changed from here.
        """
        if self._held or self.lost:
            gone = [name for name in {**self._held, **self.lost} if not self.holds(name)]
            if len(gone) == len({**self._held, **self.lost}):
                raise LeaseError(
                    "the lease was lost on every host (this laptop was silent for 15 s, or its network broke); nothing "
                    "more was changed from here"
                )

    def release(self) -> None:
        """Gives every lock back; safe to call again."""
        self._stop.set()
        with self._lock:
            for held in self._held.values():
                _close(held.stream)
            self._held.clear()
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join(timeout=2 * BEAT_S)
        self._thread = None
        self._stop = threading.Event()

    def _take_one(self, name: str) -> None:
        script = hostkit.inline("lease", json.dumps(self.holder, sort_keys=True))
        started = awake()
        stream = None
        try:
            stream = self.fleet.session(name, f"sudo -n bash -c {shlex.quote(script)}")
            lines = Lines(stream)
            answer = lines.first(ANSWER_S).decode(errors="replace").strip()
        except OSError as error:
            _close(stream)
            raise HostError(name, f"the lease got no answer within {ANSWER_S:g} s") from error
        if answer.startswith("taken "):
            _close(stream)
            try:
                holder = json.loads(answer.removeprefix("taken "))
            except ValueError:
                holder = {}
            raise LeaseError(f"{self.fleet.environment.name}: {taken(name, holder)}")
        if answer != "held":
            _close(stream)
            raise HostError(name, f"the lease could not be taken: {answer or stream.last_words() or 'no answer'}")
        with self._lock:
            self.lost.pop(name, None)
            self._held[name] = _Held(stream, lines, started)

    def _beat(self) -> None:
        stop, due = self._stop, 0.0
        while not stop.wait(0.5):
            moment = awake()
            with self._lock:
                beating = moment >= due
                for name, held in list(self._held.items()):
                    reason = self._one(held, moment, beating)
                    if reason:
                        self._lose(name, held, reason)
            if beating:
                due = moment + BEAT_S

    @staticmethod
    def _one(held: _Held, moment: float, beating: bool) -> str:
        """Reads the answers, sends the next beat; the sentence for why this host's lock is gone, where it is."""
        try:
            for line in held.lines.come():
                if line == b"ok" and held.sent:
                    held.acknowledged = held.sent.popleft()
            if held.lines.ended:
                return "the process that held it ended"
            if moment - held.acknowledged >= SILENCE_S - MARGIN_S:
                return "the host stopped answering"
            if beating:
                held.sent.append(moment)
                held.stream.write(b"beat\n")
        except OSError as error:
            return f"the connection broke ({error or type(error).__name__})"
        return ""

    def _lose(self, name: str, held: _Held, reason: str) -> None:
        self.lost[name] = f"the lease was lost: {reason}"
        del self._held[name]
        _close(held.stream)
        # What hangs on a host that is cut off fails now, instead of when TCP gives up.
        self.fleet.drop(name)


def holder_of(fleet: Fleet, operator: str, command: str, since: str) -> dict[str, str]:
    """What a lease says of its writer."""
    return {
        "operator": operator,
        "machine": socket.gethostname(),
        "since": since,
        "command": command,
        "environment": fleet.environment.name,
    }


def _close(stream: Stream | None) -> None:
    """Ends the process on the host that held a lock."""
    try:
        if stream is not None:
            stream.close()
    except OSError:
        return  # its connection is gone already, and with it the process
