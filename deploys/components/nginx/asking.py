"""What verifications ask of the nginx on a host: the commands, and their answers taken apart."""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence
from dataclasses import dataclass

ACCESS_LOG = "/var/log/nginx/access.log"

# The host makes the mark: a command that is another one in each run cannot be asked ahead, and ends all that was.
# nginx writes a line when the client has had its answer already, and a service's own nginx may write into the same file
# before it.
_TOGETHER = """folder=$(mktemp -d /tmp/mainstay-verify.XXXXXXXXXX); mark=${{folder##*/}}
trap 'rm -rf "$folder"' EXIT; trap 'exit 1' HUP INT TERM
{requests}
wait
for try in 1 2 3 4 5; do [ "$(grep -cF "$mark" {log})" -ge {count} ] && break; sleep 0.2; done
sleep 0.2
for answer in "$folder"/*; do echo "$mark ${{answer##*/}}"; cat "$answer"; echo; done
echo "$mark log"; grep -F "$mark" {log} || true
"""


@dataclass(frozen=True)
class Answer:
    """What nginx said: `headers` by their names in lower case."""

    status: int
    headers: dict[str, str]
    body: str


def curl(name: str, port: int, path: str, scheme: str = "https") -> str:
    """The command that asks this very host for a path of the site `name`; `answer` reads what it prints."""
    url = shlex.quote(f"{scheme}://{name}:{port}{path}")
    return f"curl -sSki --http1.1 --max-time 10 --resolve {name}:{port}:127.0.0.1 {url}"


def answer(said: str) -> Answer:
    """What `curl` printed, taken apart.

    Raises:
        ValueError: there is no status, so nobody answered.
    """
    head, _, body = said.replace("\r\n", "\n").partition("\n\n")
    first, *rest = head.split("\n")
    words = first.split()
    if len(words) < 2 or not words[0].startswith("HTTP/"):
        raise ValueError(f"found {first!r}, expected HTTP's status line")
    headers = {key.lower(): value.strip() for key, value in (line.split(":", 1) for line in rest if ":" in line)}
    return Answer(int(words[1]), headers, body)


def together(commands: Sequence[str]) -> str:
    """One command that gives these of `curl` side by side, each with a name of its own by which the log tells them."""
    requests = [f'{command} -A "$mark-{at:03}." > "$folder/{at:03}" 2>&1 &' for at, command in enumerate(commands)]
    return _TOGETHER.format(requests="\n".join(requests), log=ACCESS_LOG, count=len(requests))


def told_apart(said: str) -> list[tuple[str, list[str]]]:
    """What `together` printed, for each of its commands in turn: what curl said, and nginx's lines about it."""
    mark = said.split(" ", 1)[0]
    *answers, log = re.split(rf"(?m)^{re.escape(mark)} \w+\n", said)[1:]
    lines = log.splitlines()
    return [
        (text.removesuffix("\n"), [line for line in lines if f"{mark}-{at:03}." in line])
        for at, text in enumerate(answers)
    ]
