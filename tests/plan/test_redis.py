"""Redis before any host: files from a fixed environment, what is sent against fixed facts."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import pytest

from deploys.components.redis import files
from deploys.components.redis.model import section
from deploys.operations import redis
from facts.redis import RedisInEffect, RedisState
from mainstay.errors import InventoryError
from mainstay.inventory import Environment, Host, load
from tests.plan.harness import Planned, plan
from tests.unit.inventories import copied, loaded, messages, unwatched

RULES = "rules: ['+@all', '-@admin', '-@dangerous', '+info']"


@pytest.fixture(scope="module")
def cache(env: Environment) -> Host:
    return env.hosts["eai-cache-1"]


def text_of(env: Environment, path: str) -> str:
    return next(managed.content for managed in files.files(env, env.hosts["eai-cache-1"]) if managed.path == path)


# Files


@pytest.mark.covers("GP-14")
def test_memory_policy_and_persistence_are_said(env: Environment) -> None:
    lines = text_of(env, files.CONFIG).splitlines()
    assert {"maxmemory 536870912", "maxmemory-policy noeviction", "appendonly yes", 'save ""'} <= set(lines)


@pytest.mark.parametrize(
    ("persistence", "lines"),
    [
        ("rdb", {"save 3600 1 300 100 60 10000", "appendonly no"}),
        ("none", {'save ""', "appendonly no"}),
    ],
)
def test_each_kind_of_persistence(tmp_path: Path, persistence: str, lines: set[str]) -> None:
    env = loaded(copied(tmp_path, ("system.yaml", "persistence: aof", f"persistence: {persistence}")))
    assert lines <= set(text_of(env, files.CONFIG).splitlines())


def test_it_listens_on_loopback_and_its_own_address(env: Environment, cache: Host) -> None:
    assert f"bind 127.0.0.1 {cache.address}\n" in text_of(env, files.CONFIG)


def test_users_hold_hashes_and_the_default_one_is_off(env: Environment) -> None:
    text = text_of(env, files.USERS)
    assert text.splitlines()[0] == "user default off resetpass resetkeys resetchannels -@all"
    resolved = env.secrets.resolve(text)
    for name in ("REDIS_APP_PASSWORD", "REDIS_ADMIN_PASSWORD"):
        value = env.secrets.get(name).reveal()
        assert f"<secret {name}@1 sha256>" in text
        assert f"#{hashlib.sha256(value.encode()).hexdigest()}" in resolved
        assert value not in resolved


@pytest.mark.parametrize(
    ("given", "rendered"),
    [
        ("", "~* resetchannels"),
        (", keys: ['a:*', 'b:*']", "~a:* ~b:* resetchannels"),
        (", keys: ['a:*'], channels: ['a:*', news]", "~a:* resetchannels &a:* &news"),
    ],
)
def test_a_user_has_the_keys_and_channels_that_it_is_given(tmp_path: Path, given: str, rendered: str) -> None:
    env = loaded(copied(tmp_path, ("system.yaml", f"{RULES}, keys: ['*']}}", f"{RULES}{given}}}")))
    _, _, _, password, *words = files.user_line(env, "everydayai").split()
    assert password.startswith("#<secret")
    assert " ".join(words).partition("sha256> ")[2] == f"{rendered} -@all +@all -@admin -@dangerous +info"


def test_only_root_and_redis_read_what_is_secret(env: Environment, cache: Host) -> None:
    modes = {managed.path: (managed.owner, managed.group, managed.mode) for managed in files.files(env, cache)}
    assert modes[files.USERS] == ("root", "redis", 0o640)
    assert modes[files.PASSWORD] == ("root", "root", 0o600)


@pytest.mark.covers("CX-21")
def test_nothing_is_managed_where_somebody_else_runs_it(tmp_path: Path) -> None:
    edit = ("system.yaml", "managed: false                                # fix (seed: Upstash", "managed: true # (")
    env = loaded(unwatched(copied(tmp_path, edit)))
    assert files.files(env, env.hosts["eai-cache-1"]) == []


# The model


@pytest.mark.covers("DF-78")
@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (
            ("system.yaml", RULES, "rules: ['+@all', '-@dangerous', '+keys']"),
            "redis.users.everydayai.rules: found rules that allow keys, "
            "expected rules that end without them, such as +@all -@admin -@dangerous (DF-78)",
        ),
        (
            ("system.yaml", "    everydayai: {password: REDIS", "    mainstay: {password: REDIS"),
            "redis.users.mainstay: found the user mainstay, expected another name: this one is the component's own",
        ),
        (
            ("production.yaml", "maxmemory: 512mb", "maxmemory: 2G"),
            "hosts.eai-cache-1.memory: found 2G, less than 2 redis.maxmemory x 2G = 4G, "
            "expected the sum of what runs there at least",
        ),
        (
            ("production.yaml", "maxmemory: 512mb", "maxmemory: 0"),
            "redis.maxmemory: found the number 0, expected a size such as 512mb or 2G, above 0 and at most 1024T",
        ),
    ],
)
def test_what_cannot_be_is_refused_before_any_host(tmp_path: Path, edit: Any, message: str) -> None:
    assert message in messages(copied(tmp_path, edit))


def test_a_server_that_writes_nothing_may_have_all_of_its_host(tmp_path: Path) -> None:
    """It never forks, so no page of it is there twice."""
    whole = ("production.yaml", "maxmemory: 512mb", "maxmemory: 2G")
    none = ("system.yaml", "persistence: aof", "persistence: none")
    assert messages(copied(tmp_path, whole, none)) == []


@pytest.mark.covers("PT-12")
def test_pools_that_the_server_does_not_take_are_refused_before_any_host(tmp_path: Path) -> None:
    """In a system whose services say how large their pools are."""
    root = copied(tmp_path, ("system.yaml", "maxclients: 3000", "maxclients: 2409"), system="tchat")
    with pytest.raises(InventoryError) as caught:
        load("tchat", "production", root=root, check_secrets=False)
    each = [
        f"{name}: 3 hosts x 4 instances x 1 worker x 50 = 600"
        for name in ("auth", "messaging", "payment", "notification")
    ]
    least = "at least 2410: 10 for the exporter and people, and REDIS_POOL_SIZE of all processes"
    expected = f"found 2409, expected {least}: {'; '.join(each)}"
    assert f"redis.maxclients: {expected}" in str(caught.value)


# The operation against fixed facts


def settled(env: Environment, cache: Host, state: RedisState | None, allow_restart: bool = False) -> Planned:
    wanted = files.settings(section(env), cache)
    facts = {RedisInEffect: state}
    arguments = (wanted, files.USERS, allow_restart)
    return plan(redis.settled, *arguments, environment=env, member=cache, facts=facts)


def as_wanted(env: Environment, cache: Host, **changed: str) -> dict[str, str]:
    return {**files.settings(section(env), cache), **changed}


CONTROL = "/usr/local/lib/mainstay/redis-control activate"


def test_a_server_that_is_right_is_left_alone(env: Environment, cache: Host) -> None:
    assert settled(env, cache, RedisState(True, as_wanted(env, cache), True)).commands == []


def test_a_bare_host_has_nothing_to_settle(env: Environment, cache: Host) -> None:
    assert settled(env, cache, None).commands == []


def test_config_set_by_hand_is_told_and_undone(env: Environment, cache: Host) -> None:
    planned = settled(env, cache, RedisState(True, as_wanted(env, cache, maxmemory="0"), True))
    assert planned.commands == [CONTROL]
    assert planned.said == "maxmemory: 0 in effect, 536870912 wanted"


def test_users_changed_by_hand_are_told_and_undone(env: Environment, cache: Host) -> None:
    planned = settled(env, cache, RedisState(True, as_wanted(env, cache), False))
    assert planned.commands == [CONTROL]
    assert planned.said == "users: other than those of /etc/redis/users.acl"


@pytest.mark.covers("DF-80")
@pytest.mark.parametrize(("allow", "command"), [(False, CONTROL), (True, f"{CONTROL} restart")])
def test_only_the_inventory_gives_leave_to_lose_data(env: Environment, cache: Host, allow: bool, command: str) -> None:
    state = RedisState(True, as_wanted(env, cache, databases="4"), True)
    assert settled(env, cache, state, allow).commands == [command]
