"""Redis's pure parts: what the rules of a user allow, and the answer of a running server."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deploys.components.redis.model import DENIED, may_run
from facts.redis import IN_ORDER, RedisState, access, parse_state


@pytest.mark.covers("DF-78")
@pytest.mark.parametrize(
    ("rules", "allowed"),
    [
        (["+@all", "-@admin", "-@dangerous", "+info"], set()),
        (["+@read", "+@write", "-@dangerous"], set()),
        (["+get", "+set", "+incr"], set()),
        (["-@dangerous", "+@all"], set(DENIED)),
        (["+@all", "-@dangerous", "+keys"], {"keys"}),
        (["+@all", "-@admin"], {"keys", "flushall", "flushdb", "swapdb", "migrate"}),
        (["+@read"], {"keys"}),
        (["+@write"], {"flushall", "flushdb", "swapdb", "migrate"}),
        (["+@fast"], {"swapdb"}),
        (["+@all", "-@dangerous", "+slaveof", "+monitor"], {"slaveof", "monitor"}),
        (["+@all", "-@dangerous", "+config", "-config|set"], {"config"}),
        (["+@all", "-@dangerous", "+config|get"], {"config"}),
    ],
)
def test_the_rules_of_a_user_say_what_it_may_run(rules: list[str], allowed: set[str]) -> None:
    assert may_run(rules) == allowed


@given(st.lists(st.sampled_from(["+@all", "-@admin", "+@read", "+keys", "-keys", "+info"]), max_size=6))
def test_a_last_word_against_the_dangerous_ones_decides(rules: list[str]) -> None:
    assert may_run([*rules, "-@dangerous", "-@admin"]) == set()


RUNNING = ["running", "answer PONG", "users loaded", "settings", "maxmemory", "268435456", "save", ""]


def test_a_running_server_is_read() -> None:
    assert parse_state(RUNNING) == RedisState(True, {"maxmemory": "268435456", "save": ""}, True)


def test_an_empty_last_line_may_have_been_dropped_on_the_way() -> None:
    assert parse_state(RUNNING[:-1]) == parse_state(RUNNING)


def test_a_server_that_refuses_the_admin_is_told_from_none() -> None:
    assert parse_state(["running", "answer WRONGPASS invalid", "settings"]) == RedisState(False, {}, False)
    assert parse_state([]) is None


@given(st.lists(st.text(max_size=12), max_size=8))
def test_any_answer_is_read_without_failing(lines: list[str]) -> None:
    parse_state(lines)


def test_users_are_the_same_in_whatever_order_redis_tells_their_commands() -> None:
    """Redis 7.0 keeps a user's commands in a hash with a seed of each start; categories have an order that counts."""

    def told(*lines: str) -> str:
        text = "\n".join(lines) + "\n"
        return subprocess.run(["bash", "-c", IN_ORDER], input=text, capture_output=True, text=True, check=True).stdout

    one = told("user a on ~* -@all +ping +info +client|setname", "user b on ~* +@all -@dangerous +keys")
    assert told("user b on ~* +@all -@dangerous +keys", "user a on ~* -@all +client|setname +ping +info") == one
    assert told("user a on ~* -@all +ping +info", "user b on ~* +@all -@dangerous +keys") != one
    assert told("user a on ~* -@all +ping +info +client|setname", "user b on ~* -@dangerous +@all +keys") != one
    assert IN_ORDER in (Path(__file__).parents[2] / "templates" / "hostkit" / "redis-control").read_text()


HASH, OTHER = "#" + "2b" * 32, "#" + "d9" * 32
FILE = f"user auth on {HASH} ~auth:* resetchannels &auth:* -@all +@all -@admin -@dangerous +info"
LISTED = f"user auth on {HASH} ~auth:* resetchannels &auth:* +@all -@admin -migrate -restore -flushall -keys"


def test_what_redis_lists_is_what_the_file_gives() -> None:
    """As Redis 7.0.15 listed it; 7.2 and later say `sanitize-payload` of everybody."""
    wanted = {"auth": frozenset({"on", HASH, "~auth:*", "resetchannels", "&auth:*"})}
    assert access([FILE]) == access([LISTED]) == access([LISTED.replace(" on ", " on sanitize-payload ")]) == wanted
    nobody = "user default off resetpass resetkeys resetchannels -@all"
    assert access([nobody]) == access(["user default off resetchannels -@all"])
    everything = f"user mainstay on {HASH} ~* &* +@all"
    assert access([f"user mainstay on {HASH} ~a:* ~* resetchannels &b &* +@all"]) == access([everything])


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (" on ", " off "),
        (HASH, f"{HASH} {OTHER}"),
        (HASH, OTHER),
        (HASH, "nopass"),
        ("~auth:*", "~*"),
        ("~auth:*", "~auth:* %R~payment:*"),
        ("resetchannels &auth:*", "&*"),
        ("-keys", "-keys (~* resetchannels -@all +get)"),
        (" on ", " on skip-sanitize-payload "),
    ],
)
def test_whatever_else_a_user_is_given_shows(old: str, new: str) -> None:
    assert access([LISTED.replace(old, new)]) != access([FILE])


@given(st.lists(st.text(max_size=12), max_size=8))
def test_any_list_of_users_is_read_without_failing(lines: list[str]) -> None:
    access([*lines, *(f"user {line}" for line in lines)])
