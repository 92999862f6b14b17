"""Which TCP ports of a host answer, asked of all of them at once, from here or from another host.

A closed port drops what comes, so nobody answers and there is something to wait for; an open one answers at once, be it
"refused". Once every port that should answer has, the others have had as long as it took; they get as long again.
"""

from __future__ import annotations

import inspect
import json
import select
import shlex
import socket
import time
from dataclasses import dataclass
from typing import Any

from mainstay.inventory import Host

MOST_S = 2.0
LEAST_S = 0.3


@dataclass(frozen=True)
class Question:
    """Ports of one address (an IPv6 one may name its zone): those that should answer, and those that should not."""

    address: str
    expected: list[int]
    others: list[int]


# Sent to other hosts as text (`command`): it uses what that text imports, and nothing else of this module.
def answering(address: str, expected: list[int], others: list[int], most_s: float, least_s: float) -> list[int]:
    """The ports of `address` that answer, be it that they refuse.

    Args:
        address: of the host.
        expected: waited for until `most_s` seconds have gone by.
        others: once the last expected one answered, they get as long again, at least `least_s` seconds.
        most_s: seconds that no answer is waited for longer than.
        least_s: see `others`.
    """
    waiting = {}
    for port in [*others, *expected]:
        family, kind, protocol, _, target = socket.getaddrinfo(address, port, type=socket.SOCK_STREAM)[0]
        one = socket.socket(family, kind, protocol)
        one.setblocking(False)
        one.connect_ex(target)
        waiting[one] = port
    started = time.monotonic()
    until = started + most_s
    left, found = set(expected), []
    while waiting and (now := time.monotonic()) < until:
        for one in select.select([], list(waiting), [], until - now)[1]:
            found.append(waiting.pop(one))
            one.close()
        if left and left <= set(found):
            left, now = set(), time.monotonic()
            until = min(until, now + max(least_s, now - started))
    for one in waiting:
        one.close()
    return sorted(found)


def ask(question: Question) -> set[int]:
    """The ports that answer this machine."""
    return set(answering(question.address, question.expected, question.others, MOST_S, LEAST_S))


def command(questions: list[Question]) -> str:
    """A shell command for another host: it prints a JSON list with the ports that answer there, question by question.

    The questions are asked side by side: each waits for what does not come. Its Python is there on every host:
    unattended-upgrades is written in it.
    """
    asked = [(q.address, q.expected, q.others, MOST_S, LEAST_S) for q in questions]
    imports = "from __future__ import annotations\nimport json, select, socket, time\n"
    pool = "from concurrent.futures import ThreadPoolExecutor as Pool\n"
    script = (
        f"{imports}{pool}{inspect.getsource(answering)}print(json.dumps(list(Pool().map(answering, *zip(*{asked})))))"
    )
    return f"python3 -I -c {shlex.quote(script)}"


def ask_from(on_host: Any, questions: list[Question]) -> list[set[int]]:
    """The ports that answer testinfra's `on_host`, question by question."""
    return [set(answer) for answer in json.loads(on_host.check_output(command(questions)))]


def answers(on_host: Any, server: Host, port: int) -> bool:
    """Whether `server` answers at `port` when testinfra's `on_host` asks; its sshd is the measure of how long."""
    (found,) = ask_from(on_host, [Question(server.address, [server.ssh_port], [port])])
    return port in found
