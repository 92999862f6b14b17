"""What services log is counted by the inventory's patterns (LG-11): mtail reads the journal as it grows."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator

from deploys.components.service.files import running_on
from mainstay.inventory import Environment, Host, Problem
from mainstay.render import render

PROGRAM = "/etc/mtail/mainstay.mtail"
# What Python's expressions have and RE2's, mtail's and Prometheus's, have not; the host's own check finds the rest.
_PYTHON_ALONE = re.compile(r"(?<!\\)(\\\\)*(\(\?(<?[=!]|P=|[>(#])|\\[1-9Z])")


def looked_at(env: Environment) -> bool:
    """Whether anything is looked for, in the log of anything."""
    return bool(env.common.logs.patterns) and any(service.kind != "static" for service in env.services.values())


def names(env: Environment, host: Host) -> list[str]:
    """The names in the journal (`<system>-<service>`) of the host's services; none where nothing is looked for."""
    return [f"{env.system}-{service.name}" for service in running_on(env, host)] if looked_at(env) else []


def program(env: Environment) -> str:
    """mtail's program: a counter by pattern and service."""
    found = {pattern.replace('"', '\\"'): _slashed(pattern) for pattern in env.common.logs.patterns}
    return render("monitoring/patterns.mtail.j2", prefix=f"{env.system}-", patterns=found)


def command(env: Environment, host: Host, address: str, port: int) -> str:
    """How mtail is started."""
    return shlex.join(["/usr/local/lib/mainstay/log-lines", address.strip("[]"), str(port), *names(env, host)])


def python_alone(pattern: str) -> str | None:
    """The first part of the pattern that only Python understands, None where there is none."""
    found = _PYTHON_ALONE.search(pattern)
    return found[2] if found else None


def check(env: Environment) -> Iterator[Problem]:
    """A pattern that Python takes and mtail does not."""
    for index, pattern in enumerate(env.common.logs.patterns):
        if python_alone(pattern):
            expected = "an expression that does not look ahead or back and repeats no group: mtail counts by RE2"
            yield env.problem(("logs", "patterns", index), repr(pattern), expected)


def _slashed(pattern: str) -> str:
    """A pattern between slashes."""
    return re.sub(r"(\\.)|/", lambda match: match[1] or r"\/", pattern)
