"""The order of a rollout."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise
from typing import cast

from hypothesis import given
from hypothesis import strategies as st

from mainstay.engine import batches
from mainstay.inventory import Environment, Host


@dataclass
class Ramps:
    ramps: list[int]
    side_by_side: list[list[str]] = field(default_factory=list)


@dataclass
class Order:
    order: list[str] = field(default_factory=list)
    pause: float = 0.0


@dataclass
class Common:
    rollout: Ramps
    release: Order = field(default_factory=Order)


@dataclass
class Placed:
    role: str


@dataclass
class Described:
    """As much of an environment as the order of a rollout depends on."""

    hosts: dict[str, Host]
    common: Common
    env: str = "production"
    name: str = field(default="shop/production")
    services: dict[str, Placed] = field(default_factory=dict)


def environment(
    roles: dict[str, tuple[str, ...]], ramps: list[int], side_by_side: list[list[str]] | None = None
) -> Environment:
    hosts = {n: Host(n, "192.0.2.1", 22, r, 2**30, 1, 2**34, 12) for n, r in roles.items()}
    return cast(Environment, Described(hosts, Common(Ramps(ramps, side_by_side or []))))


ROLES = st.lists(st.sampled_from(batches.ROLE_ORDER), min_size=1, max_size=3, unique=True).map(tuple)
HOSTS = st.dictionaries(st.from_regex(r"[a-z]{1,6}", fullmatch=True), ROLES, max_size=20)
RAMPS = st.lists(st.integers(1, 100), min_size=1, max_size=4)


@given(HOSTS, RAMPS)
def test_every_host_is_in_one_batch_and_roles_keep_their_order(
    roles: dict[str, tuple[str, ...]], ramps: list[int]
) -> None:
    made = batches.production(environment(roles, ramps), roles)
    assert sorted(name for batch in made for name in batch.hosts) == sorted(roles)
    order = [batches.ROLE_ORDER.index(batch.role) for batch in made]
    assert order == sorted(order)
    for role in {batch.role for batch in made}:
        assert len(next(batch for batch in made if batch.role == role).hosts) == 1


def test_a_role_may_take_its_turn_before_another_for_once() -> None:
    roles: dict[str, tuple[str, ...]] = {"d": ("db",), "r": ("db_replica",), "s": ("db_replica",), "c": ("cache",)}
    made = batches.production(environment(roles, [100], [["db", "cache"]]), roles, [("db_replica", "db")])
    assert [batch.hosts for batch in made] == [("r",), ("s",), ("d", "c")]


@given(st.integers(1, 500), RAMPS)
def test_ramps_reach_their_percent_and_end_with_everyone(count: int, ramps: list[int]) -> None:
    sizes = batches.ramp_sizes(count, ramps)
    assert sum(sizes) == count
    assert sizes[0] == 1
    assert min(sizes) >= 1
    reached = [sum(sizes[: n + 1]) for n in range(len(sizes))]
    for percent in ramps:
        # After the batch that reaches a ramp, no fewer hosts than its percent are done, and that batch exists.
        assert any(done * 100 >= count * percent for done in reached)


def test_the_default_ramps() -> None:
    assert {count: batches.ramp_sizes(count, [25, 100]) for count in (1, 2, 3, 4, 8, 12)} == {
        1: [1], 2: [1, 1], 3: [1, 2], 4: [1, 3], 8: [1, 1, 6], 12: [1, 2, 9],
    }  # fmt: skip


def test_a_host_of_several_roles_goes_with_the_first_of_them() -> None:
    made = batches.production(environment({"a": ("web", "db"), "b": ("web",)}, [100]), ["a", "b"])
    assert [(batch.role, batch.hosts) for batch in made] == [("db", ("a",)), ("web", ("b",))]


def test_a_limit_leaves_the_others_out() -> None:
    made = batches.production(environment({"a": ("web",), "b": ("web",)}, [100]), ["b"])
    assert [batch.hosts for batch in made] == [("b",)]


def test_roles_side_by_side_begin_with_one_host_each_and_ramp_together() -> None:
    roles: dict[str, tuple[str, ...]] = {
        "a": ("app",), "d": ("db",), "c1": ("cache",), "r": ("db_replica",), "c2": ("cache",), "c3": ("cache",)
    }  # fmt: skip
    made = batches.production(environment(roles, [100], [["cache", "db"]]), roles)
    assert [(batch.role, batch.hosts) for batch in made] == [
        ("db+cache", ("d", "c1")),
        ("cache", ("c2", "c3")),
        ("db_replica", ("r",)),
        ("app", ("a",)),
    ]


def test_one_of_two_roles_side_by_side_may_have_no_host() -> None:
    made = batches.production(environment({"c": ("cache",)}, [100], [["db", "cache"]]), ["c"])
    assert [(batch.role, batch.hosts) for batch in made] == [("cache", ("c",))]


def test_what_watches_comes_with_the_last_step_of_the_roles_beside_it() -> None:
    roles: dict[str, tuple[str, ...]] = {
        "w1": ("web",), "w2": ("web",), "w3": ("web",), "m1": ("monitoring",), "m2": ("monitoring",), "a": ("app",)
    }  # fmt: skip
    made = batches.production(environment(roles, [50, 100], [["web", "monitoring"]]), roles)
    assert [(batch.role, batch.hosts) for batch in made] == [
        ("app", ("a",)),
        ("web", ("w1",)),
        ("web", ("w2",)),
        ("web+monitoring", ("w3", "m1")),
        ("monitoring", ("m2",)),
    ]
    alone = batches.production(environment({"m": ("monitoring",)}, [100], [["web", "monitoring"]]), ["m"])
    assert [(batch.role, batch.hosts) for batch in alone] == [("monitoring", ("m",))]


GROUPS = st.permutations(batches.ROLE_ORDER).flatmap(
    lambda roles: st.integers(2, 4).map(lambda size: [list(roles[:size]), list(roles[size : 2 * size])])
)


@given(HOSTS, RAMPS, GROUPS)
def test_side_by_side_every_host_is_in_one_batch_and_each_role_still_begins_with_one(
    roles: dict[str, tuple[str, ...]], ramps: list[int], groups: list[list[str]]
) -> None:
    described = environment(roles, ramps, groups)
    made = batches.production(described, roles)
    assert sorted(name for batch in made for name in batch.hosts) == sorted(roles)
    for role in batches.ROLE_ORDER:
        sizes = [sum(batches.role_of(described.hosts[name]) == role for name in batch.hosts) for batch in made]
        alone = batches.production(environment(roles, ramps), roles)
        assert [size for size in sizes if size] == [len(batch.hosts) for batch in alone if batch.role == role]


def ordered(order: list[str]) -> Environment:
    """One host of each role; services that follow one another, with a pause."""
    described = cast(Described, environment({f"h-{role[:2]}": (role,) for role in ("db", "ml", "app", "web")}, [100]))
    described.common.release = Order(order, 30.0)
    described.services = {"front": Placed("web"), "back": Placed("app"), "net": Placed("ml"), "jobs": Placed("app")}
    return cast(Environment, described)


def test_services_that_follow_one_another_bring_their_roles_into_that_order() -> None:
    env = ordered(["back", "jobs", "net", "front"])
    made = batches.production(env, env.hosts)
    assert [batch.role for batch in made] == ["db", "app", "ml", "web"]
    pauses = [batches.pause_before(env, one, two) for one, two in pairwise(made)]
    assert pauses == [0.0, 30.0, 30.0]


def test_without_an_order_roles_keep_theirs_and_nobody_waits() -> None:
    env = ordered([])
    made = batches.production(env, env.hosts)
    assert [batch.role for batch in made] == ["db", "ml", "app", "web"]
    assert {batches.pause_before(env, one, two) for one, two in pairwise(made)} == {0.0}


def test_ramps_of_one_role_do_not_wait_for_each_other() -> None:
    env = ordered(["back", "net"])
    one, two = batches.Batch("app", ("a",)), batches.Batch("app", ("b",))
    assert batches.pause_before(env, one, two) == 0.0


@given(st.integers(1, 12), RAMPS)
def test_nodes_of_one_cluster_go_one_by_one_whatever_the_ramps_say(count: int, ramps: list[int]) -> None:
    """Two that are down at once are a quorum lost."""
    names = {f"node-{number}": ("scylla",) for number in range(count)}
    made = batches.production(environment(names, ramps), names)
    assert [batch.hosts for batch in made] == [(name,) for name in names]
