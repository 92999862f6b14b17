"""A Redis server as it runs: settings in effect, and whether its users are those of its file."""

from __future__ import annotations

import shlex
from dataclasses import dataclass

from pyinfra.api import FactBase
from typing_extensions import override

_STATE = "/var/lib/mainstay/redis"
IN_ORDER = "perl -lane 'print join q( ), (grep !/^[+-][^@]/, @F), sort grep /^[+-][^@]/, @F' | sort"
"""What ACL LIST says, in one order: Redis 7.0 tells a user's commands in another one after each start.

templates/hostkit/redis-control, which keeps the digest, has the same words.
"""

_AS_EVER = frozenset({"resetpass", "resetkeys", "sanitize-payload"})
"""Words that leave a new user as it is: Redis lists none of them, or (from 7.2 on) the last one always."""


@dataclass(frozen=True)
class RedisState:
    """`settings` as CONFIG GET prints them; `users_as_loaded` is False where somebody changed users since, or unknown.

    `reachable` is False where a server runs and does not accept the admin password that it was given last.
    """

    reachable: bool
    settings: dict[str, str]
    users_as_loaded: bool


class RedisInEffect(FactBase[RedisState | None]):
    """The settings called `names` and the state of the users; None where no server runs."""

    @override
    def command(self, names: list[str], port: int, users: str) -> str:  # type: ignore[override]
        wanted = " ".join(shlex.quote(name) for name in names)
        cli = f"redis-cli -p {port} --user mainstay --no-auth-warning --raw"
        # The password goes from a file that root alone reads into an environment that root alone reads.
        return (
            "if systemctl is-active --quiet redis-server.service; then echo running; "
            f'if [ -s {_STATE}/password ]; then export REDISCLI_AUTH="$(cat {_STATE}/password)"; fi; '
            f"echo answer $({cli} PING 2>/dev/null | head -n 1); "
            f"if [ -s {_STATE}/users ]; then "
            f'found="$(sha256sum < {shlex.quote(users)} | cut -c1-64) '
            f'$({cli} ACL LIST | {IN_ORDER} | sha256sum | cut -c1-64)"; '
            f'[ "$found" = "$(cat {_STATE}/users)" ] && echo users loaded; fi; '
            f"echo settings; {cli} CONFIG GET {wanted} 2>/dev/null; fi; true"
        )

    @staticmethod
    @override
    def default() -> RedisState | None:
        return None

    @override
    def process(self, output: list[str]) -> RedisState | None:
        return parse_state(output)


def parse_state(lines: list[str]) -> RedisState | None:
    """Reads `running`, `answer PONG`, `users loaded`, `settings` and then names and values in turn."""
    if "running" not in lines:
        return None
    start = lines.index("settings") if "settings" in lines else len(lines)
    answers = lines[start + 1 :]
    if "answer PONG" not in lines[:start]:
        return RedisState(False, {}, False)
    # An empty value is an empty line, and the transport may have dropped the last one.
    pairs = zip(answers[::2], [*answers[1::2], ""], strict=False)
    return RedisState(True, dict(pairs), "users loaded" in lines[:start])


def access(lines: list[str]) -> dict[str, frozenset[str]]:
    """Each user of an ACL file or of ACL LIST, and the words on it beside commands, which Redis lists in words of its
    own: on or off, passwords as `#` and their SHA-256, key and channel patterns, what begins a selector."""
    users = [line.split() for line in lines if line.startswith("user ")]
    return {words[1]: _access(words[2:]) for words in users if len(words) > 1}


def _access(words: list[str]) -> frozenset[str]:
    """One form for both: beside a pattern for everything, others say nothing."""
    found = {word for word in words if word[0] not in "+-"} - _AS_EVER
    if "~*" in found:
        found = {word for word in found if word == "~*" or word[0] != "~"}
    if "&*" in found:
        found = {word for word in found if word == "&*" or word[0] != "&"} - {"resetchannels"}
    return frozenset(found)
