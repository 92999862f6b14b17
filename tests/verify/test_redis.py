"""Redis as its users meet it: memory, policy and persistence in effect, users that can't block or wipe it."""

from __future__ import annotations

import shlex
import socket
from collections.abc import Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import pytest

from deploys.components.redis import files
from deploys.components.redis.model import ADMIN, UNIT, Section, User, clients, section
from facts.redis import RedisInEffect, RedisState, access
from mainstay import hostkit, ports
from mainstay.inventory import Environment, Host
from mainstay.tunnel import Tunnels

ON_HOST = pytest.mark.roles("cache")
DENIED = ("KEYS *", "FLUSHALL", "FLUSHDB", "CONFIG GET maxmemory", "ACL LIST", "SHUTDOWN NOSAVE", "DEBUG SLEEP 0")


@pytest.fixture(scope="module")
def redis(environment: Environment) -> Section:
    own = section(environment)
    if own.managed:
        pytest.skip("somebody else runs it: the services' own /health/redis tells whether it answers")
    return own


@pytest.fixture(scope="module")
def admin(host: Any, redis: Section) -> Any:
    """What the server answers to its admin, in lines; the password stays on the host, in an environment."""

    def answer(*words: str) -> list[str]:
        return _admin(host, redis, shlex.join(words))

    return answer


def _admin(host: Any, redis: Section, words: str, commands: Sequence[str] = ()) -> list[str]:
    """What is answered to `words`, or without any to each of `commands`, by one redis-cli."""
    given = f"printf '%s\\n' {shlex.join(commands)} | " if commands else ""
    command = f"redis-cli -p {redis.port} --user {ADMIN} --no-auth-warning --raw {words}"
    done = host.run(f'{given}REDISCLI_AUTH="$(cat {files.PASSWORD})" {command}')
    assert done.rc == 0 and "NOAUTH" not in done.stdout, f"Redis does not answer: {done.stdout}{done.stderr}".strip()
    return [line.strip() for line in done.stdout.splitlines()]


def _info(lines: list[str]) -> dict[str, str]:
    return dict(line.split(":", 1) for line in lines if ":" in line)


@ON_HOST
@pytest.mark.covers("HC-04")
def test_the_server_runs_and_starts_at_boot(host: Any) -> None:
    unit = host.service(UNIT)
    assert unit.is_running, f"{UNIT} is not active"
    assert unit.is_enabled, f"{UNIT} does not start at boot"
    restarts = int(host.check_output(f"systemctl show -p NRestarts --value {UNIT}"))
    assert restarts == 0, f"{UNIT} was restarted {restarts} times by systemd"


@ON_HOST
@pytest.mark.covers("GP-14", "DF-80", "RD-13")
def test_settings_are_in_effect(admin: Any, redis: Section, member: Host) -> None:
    wanted = files.settings(redis, member)
    for name, value in wanted.items():
        found = [*admin("CONFIG", "GET", name)[1:2], ""][0]
        assert found == value, f"{name} is {found!r}, not {value!r}"


@ON_HOST
def test_memory_has_a_limit_and_is_within_it(admin: Any, redis: Section) -> None:
    memory = _info(admin("INFO", "memory"))
    assert int(memory["maxmemory"]) == redis.maxmemory, f"maxmemory is {memory['maxmemory']} bytes"
    assert int(memory["used_memory"]) <= redis.maxmemory, f"{memory['used_memory']} bytes used of {redis.maxmemory}"


@ON_HOST
@pytest.mark.covers("RD-04")
def test_clients_are_within_their_limit(admin: Any, redis: Section) -> None:
    found = _info(admin("INFO", "clients"))
    assert int(found["maxclients"]) == redis.maxclients, f"maxclients is {found['maxclients']}"
    assert int(found["connected_clients"]) < redis.maxclients, f"{found['connected_clients']} clients"


@ON_HOST
@pytest.mark.covers("DF-80")
def test_data_is_written(admin: Any, redis: Section) -> None:
    """`none` promises nothing; the others are worth what the last write was."""
    found = _info(admin("INFO", "persistence"))
    if redis.persistence == "rdb":
        assert found["rdb_last_bgsave_status"] == "ok", "the last RDB file could not be written"
    if redis.persistence == "aof":
        assert found["aof_enabled"] == "1", "the append-only file is off"
        assert found["aof_last_write_status"] == "ok", "the last write to the append-only file failed"


@ON_HOST
def test_listens_on_loopback_and_the_private_address_only(host: Any, member: Host, redis: Section) -> None:
    lines = host.check_output(f"ss -Hltn 'sport = :{redis.port}'").splitlines()
    found = {line.split()[3].rpartition(":")[0].strip("[]") for line in lines}
    assert found == {"127.0.0.1", member.address}, f"listens on {', '.join(sorted(found)) or 'nothing'}"


@ON_HOST
def test_who_does_not_log_in_gets_no_answer(host: Any, redis: Section) -> None:
    answer = host.run(f"redis-cli -p {redis.port} PING").stdout.strip()
    assert answer.startswith("NOAUTH"), f"the default user gets {answer!r}"


@ON_HOST
@pytest.mark.covers("DF-78")
def test_users_are_those_of_the_inventory(
    host: Any, admin: Any, environment: Environment, member: Host, redis: Section
) -> None:
    """Asked of the server, not of its file: on or off, passwords by their hashes, keys and channels; and commands, of
    which it has words of its own, by a digest of what it listed once it had loaded the inventory's file."""
    (managed,) = [one for one in files.files(environment, member) if one.path == files.USERS]
    wanted = access(environment.secrets.resolve(managed.content).splitlines())
    found = access(admin("ACL", "LIST"))
    assert found.keys() == wanted.keys(), f"users: {', '.join(sorted(found))}"
    said = [f"{name} {differs}" for name in wanted for differs in _differs(found[name], wanted[name])]
    assert not said, "; ".join(said)
    assert host.file(files.USERS).sha256sum == managed.digest(environment.secrets.resolve), f"{files.USERS} is another"
    state = _in_effect(host, redis)
    as_loaded = state is not None and state.users_as_loaded
    assert as_loaded or _as_another(host), f"commands are not those of {files.USERS}"


@ON_HOST
@pytest.mark.covers("DF-78")
def test_users_may_not_block_wipe_or_read_what_is_not_theirs(host: Any, redis: Section) -> None:
    """As the server itself decides; it is asked for all users at once."""
    asked = [f"{name} {command}" for name in redis.users for command in DENIED]
    asked += [f"{name} GET {key}" for name, user in redis.users.items() for key in _foreign(redis, user)]
    answers = _admin(host, redis, "", [f"ACL DRYRUN {question}" for question in asked])
    assert len(answers) == len(asked), f"{len(answers)} answers to {len(asked)} questions"
    may = [question for question, answer in zip(asked, answers, strict=True) if "no permissions" not in answer]
    assert not may, f"may: {'; '.join(may)}"


def _differs(found: frozenset[str], wanted: frozenset[str]) -> list[str]:
    """In words, and no hash among them."""

    def told(words: frozenset[str]) -> str:
        return ", ".join(sorted({"a password" if word[0] == "#" else word for word in words}))

    more, less = found - wanted, wanted - found
    return [f"has {told(more)} beside the inventory's"] * bool(more) + [f"lacks {told(less)}"] * bool(less)


def _as_another(host: Any) -> bool:
    """Whether a second server lists the same of the same file: nobody wrote down what this one listed at first, as it
    was not Mainstay that brought the host here. So the script is not there either, and comes with the question."""
    done = host.run(f"bash -c {shlex.quote(hostkit.inline('redis-control', 'users'))}")
    return bool(done.rc == 0)


def _in_effect(host: Any, redis: Section) -> RedisState | None:
    fact = RedisInEffect()
    return fact.process(host.run(fact.command(["port"], redis.port, files.USERS)).stdout.splitlines())


def _foreign(redis: Section, user: User) -> list[str]:
    """A key of each other user, and one of nobody; none where all keys are the user's."""
    theirs = [pattern.replace("*", "x") for other in redis.users.values() for pattern in other.keys if pattern != "*"]
    keys = dict.fromkeys([*theirs, "mainstay-key-of-nobody"])
    return [key for key in keys if not any(fnmatchcase(key, pattern) for pattern in user.keys)]


@ON_HOST
def test_files_are_readable_by_those_who_need_them_only(host: Any, environment: Environment, member: Host) -> None:
    for managed in files.files(environment, member):
        file = host.file(managed.path)
        found = f"{file.user}:{file.group} {file.mode:o}" if file.exists else "nothing"
        assert found == f"{managed.owner}:{managed.group} {managed.mode:o}", f"{managed.path} is {found}"


@pytest.mark.roles("app", "ml")
@pytest.mark.covers("HC-04", "DF-78", "RD-15")
def test_users_log_in_from_here_and_cannot_block_or_wipe(
    environment: Environment, member: Host, redis: Section, tunnels: Tunnels
) -> None:
    if not set(clients(environment)) & set(member.roles):
        return
    way = tunnels.to(member, environment.hosts_of("cache")[0].address, redis.port)
    for name in redis.users:
        pong, *denied = _ask(environment, way, redis, name, ["PING", *DENIED[:3]])
        assert pong == "+PONG", f"{name} gets {pong!r}"
        for command, answer in zip(DENIED[:3], denied, strict=True):
            assert answer.startswith("-NOPERM"), f"{name} runs {command}: {answer[:60]!r}"


@pytest.mark.roles("web", "db", "monitoring")
def test_the_server_cannot_be_reached_from_here(
    host: Any, environment: Environment, member: Host, redis: Section, tunnels: Tunnels
) -> None:
    """By the firewall: Redis itself knows users, not hosts."""
    if set(clients(environment)) & set(member.roles):
        return
    if not ports.answers(host, environment.hosts_of("cache")[0], redis.port):
        return
    way = tunnels.to(member, environment.hosts_of("cache")[0].address, redis.port)
    for name in redis.users:
        try:
            answer = _ask(environment, way, redis, name, ["PING"], timeout=2)[0]
        except OSError:
            continue
        assert not answer, f"{name} gets {answer!r}"


def _ask(
    environment: Environment, way: Path, redis: Section, name: str, commands: list[str], *, timeout: float = 10
) -> list[str]:
    """First line of each answer after a login that comes by `way`; the password never leaves this process.

    Raises:
        OSError: no connection, or none that answers.
    """
    password = environment.secrets.get(redis.users[name].password).reveal()
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
        client.settimeout(timeout)
        client.connect(f"{way}/.s.PGSQL.{redis.port}")
        lines = client.makefile("rw", newline="")
        answers = []
        for words in (["AUTH", name, password], *(command.split() for command in commands)):
            parts = [f"*{len(words)}", *(text for word in words for text in (f"${len(word.encode())}", word))]
            lines.write("\r\n".join(parts) + "\r\n")
            lines.flush()
            answers.append(lines.readline().strip())
    return answers[1:]
