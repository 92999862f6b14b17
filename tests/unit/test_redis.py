"""Redis's pure parts: what the rules of a user allow, and the answer of a running server."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deploys.components.redis.model import DENIED, may_run
from facts.redis import RedisState, parse_state


@pytest.mark.covers("DF-78")
@pytest.mark.parametrize(
    ("rules", "allowed"),
    [
        (["+@all", "-@admin", "-@dangerous", "+info"], set()),
        (["+@read", "+@write", "-@dangerous"], set()),
        (["+get", "+set", "+incr"], set()),
        (["-@dangerous", "+@all"], set(DENIED)),
        (["+@all", "-@dangerous", "+keys"], {"keys"}),
        (["+@all", "-@admin"], {"keys", "flushall", "flushdb"}),
        (["+@read"], {"keys"}),
        (["+@write"], {"flushall", "flushdb"}),
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
