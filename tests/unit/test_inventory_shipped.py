"""Every shipped system: whole, the same in both environments, rendered offline, and each value with its mark."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from deploys.components.frontend.model import Section as Frontend
from deploys.components.postgres.model import Section as Postgres
from deploys.components.redis import files as redis
from deploys.components.redis.model import Section as Redis
from mainstay import components
from mainstay.errors import InventoryError
from mainstay.inventory import ENVIRONMENTS, Environment, load
from mainstay.inventory.checks import unused, unused_services
from tests.unit.inventories import SHIPPED, SYSTEMS, copied

PAGE = SHIPPED.parent / "docs" / "systems.md"
MARK = re.compile(r"\b(seed|fix|decided)\b")
LINE = re.compile(r"(?P<indent> *)(- )?(?P<key>[^#\s][^#]*?)?(?P<comment>\s*#.*)?")


@pytest.fixture(params=SYSTEMS)
def system(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


def loaded(folder: Path, system: str) -> dict[str, Environment]:
    """Both environments, by name."""
    root = copied(folder, system=system)
    return {name: load(system, name, root=root) for name in ENVIRONMENTS}


def test_nothing_is_wrong_and_nothing_is_for_nobody(system: str, tmp_path: Path) -> None:
    for env in loaded(tmp_path, system).values():
        assert unused(env) == []
        assert unused_services(env) == []


def test_staging_has_the_shape_of_production_and_fewer_hosts(system: str, tmp_path: Path) -> None:
    staging, production = loaded(tmp_path, system).values()
    roles = [{role for host in env.hosts.values() for role in host.roles} for env in (staging, production)]
    assert roles[0] == roles[1]
    assert len(staging.hosts) < len(production.hosts)
    assert list(staging.sections) == list(production.sections)
    assert list(staging.services) == list(production.services)


def test_every_file_of_every_host_renders_offline_and_twice_the_same(system: str, tmp_path: Path) -> None:
    one, two = (loaded(tmp_path / name, system) for name in ("one", "two"))
    for name, env in one.items():
        for host in env.hosts.values():
            files = components.rendered(env, host)
            assert files == components.rendered(two[name], two[name].hosts[host.name])
            assert files, host.name


def test_each_value_says_where_it_comes_from(system: str) -> None:
    """By a mark on its line, on the key above it, or in a comment before either."""
    bare = [
        f"{file}:{number}: {line.strip()}"
        for file in ("system.yaml", "staging.yaml", "production.yaml")
        for number, line in _unmarked((SHIPPED / system / file).read_text(encoding="utf-8"))
    ]
    assert bare == []


def _unmarked(text: str) -> list[tuple[int, str]]:
    """The lines with a value and no mark in reach."""
    found: list[tuple[int, str]] = []
    above: list[tuple[int, bool]] = []  # the keys that are open here: indentation, marked
    before = False  # a comment of its own that marks what follows it
    for number, line in enumerate(text.splitlines(), 1):
        match = LINE.fullmatch(line)
        if match is None or match["key"] is None:
            before = bool(line.strip()) and (before or bool(MARK.search(line)))
            continue
        indent = len(match["indent"])
        above = [one for one in above if one[0] < indent]
        marked = before or bool(MARK.search(match["comment"] or "")) or any(mark for _, mark in above)
        if match["key"].rstrip().endswith(":"):
            above.append((indent, marked))
        elif not marked:
            found.append((number, line))
        before = before and not match["key"].rstrip().endswith(":")
    return found


def refused(folder: Path, system: str, file: str, old: str, new: str) -> str:
    """What loading production says after one edit."""
    root = copied(folder, system=system)
    path = root / "inventories" / system / file
    text = path.read_text(encoding="utf-8")
    assert old in text, f"{file} no longer holds {old!r}"
    path.write_text(text.replace(old, new, 1), encoding="utf-8")
    with pytest.raises(InventoryError) as error:
        load(system, "production", root=root)
    return str(error.value)


@pytest.mark.covers("PT-14")
def test_a_pool_of_a_hundred_needs_a_pooler_or_more_connections(tmp_path: Path) -> None:
    pooler = "pgbouncer:\n  role: db "
    text = (SHIPPED / "toeic" / "system.yaml").read_text(encoding="utf-8")
    section = text[text.index(pooler) : text.index("redis:\n  managed")]
    said = refused(tmp_path, "toeic", "system.yaml", section, "")
    assert "postgres.max_connections: found 200, which leaves 187, expected connections for app: 3 hosts" in said
    assert "x 100 = 600, besides 3 reserved and 10 for people" in said


@pytest.mark.covers("PT-11", "PT-14", "DF-13")
@pytest.mark.parametrize(
    ("own", "where", "variable", "pool"),
    [
        ("superinsight", "services.api", "DB_POOL_SIZE", 8),
        ("spheroseg", "services.backend", "DB_POOL_SIZE", 10),
        ("tchat", "service_defaults", "DB_MAX_OPEN_CONNS", 50),
        ("toeic", "services.app", "DB_MAX_CONNECTIONS", 100),
    ],
)
def test_what_a_program_opens_is_what_the_budget_counts(
    tmp_path: Path, own: str, where: str, variable: str, pool: int
) -> None:
    """The variable alone says nothing to the budget: a second number for the pool is refused."""
    line = f"{variable}: {{type: int, value: "
    said = refused(tmp_path, own, "system.yaml", line, f"{line}9")
    expected = f"{pool}, as {where}.pool: what the budget counts is what the program opens"
    assert said.count("expected") == 1
    assert f"{where}.env_vars.{variable}.value: found the number 9{pool}, expected {expected}" in said


@pytest.mark.covers("DF-13")
@pytest.mark.parametrize(
    ("own", "where", "variable"), [("tchat", "service_defaults", "POSTGRES_PORT"), ("toeic", "services.app", "PGPORT")]
)
def test_no_service_goes_past_pgbouncer(tmp_path: Path, own: str, where: str, variable: str) -> None:
    line = f"{variable}: {{type: port, value: "
    said = refused(tmp_path, own, "system.yaml", f"{line}6432", f"{line}5432")
    assert said.count("expected") == 1
    assert f"{where}.env_vars.{variable}.value: found 5432, expected 6432, as pgbouncer.port, or the service in" in said


def test_a_pools_variable_is_one_of_the_services_own(tmp_path: Path) -> None:
    line = "pool_variable: DB_MAX_CONNECTIONS"
    said = refused(tmp_path / "typed", "toeic", "system.yaml", line, "pool_variable: DB_POOL_SIZE")
    assert "services.app.pool_variable: found 'DB_POOL_SIZE', expected a variable of app" in said
    given = "{type: int, value: 100, min: 1, required: true}"
    said = refused(tmp_path / "unset", "toeic", "system.yaml", given, "{type: int, min: 1}")
    assert "services.app.env_vars.DB_MAX_CONNECTIONS: found nothing, expected 100, as services.app.pool" in said


@pytest.mark.covers("PT-15")
def test_the_pools_variables_are_written_and_checked(tmp_path: Path) -> None:
    wanted = {
        "DB_MAX_CONNECTIONS": "100",
        "DB_MIN_CONNECTIONS": "10",
        "DB_MAX_IDLE_TIME": "5m",
        "DB_MAX_LIFETIME": "1h",
    }
    root = copied(tmp_path / "well", system="toeic")
    shutil.copy(SHIPPED / "toeic" / "releases.yaml", root / "inventories" / "toeic" / "releases.yaml")
    env = load("toeic", "production", root=root)
    for host in env.hosts_of("app"):
        (file,) = [one for one in components.rendered(env, host) if "DB_MAX_LIFETIME" in one.content]
        lines = [line.replace('"', "") for line in file.content.splitlines()]
        assert [line for line in lines if line.partition("=")[0] in wanted] == [f"{n}={v}" for n, v in wanted.items()]
    said = refused(
        tmp_path / "min", "toeic", "system.yaml", "{type: int, value: 10, min: 0", "{type: int, value: 101, min: 0"
    )
    assert "env_vars.DB_MIN_CONNECTIONS.value: found the number 101, expected at most DB_MAX_CONNECTIONS" in said
    said = refused(
        tmp_path / "unit", "toeic", "system.yaml", "{type: duration, value: 5m", "{type: duration, value: '5'"
    )
    assert "env_vars.DB_MAX_IDLE_TIME.value: found '5', expected a duration such as 5s or 5m" in said


def test_the_page_of_systems_says_what_their_inventories_say(system: str, tmp_path: Path) -> None:
    """Its column: roles, services with their ports, databases."""
    production = loaded(tmp_path, system)["production"]
    column = _column(system)
    assert set(column["roles"].split(", ")) == {role for host in production.hosts.values() for role in host.roles}
    said = dict(re.findall(r"(\w+)(?: \([a-z]+\))?(?: (\d+))?", column["services"].lower()))
    for name, service in production.services.items():
        assert said[name] == str(service.port or ""), name
    for database in production.section("postgres", Postgres).databases:
        assert database in column["databases"]


def _column(system: str) -> dict[str, str]:
    """What the page says of the system, by the first word of each row."""
    rows = [line.strip("|").split("|") for line in PAGE.read_text(encoding="utf-8").splitlines() if line[:1] == "|"]
    (links,) = [row for row in rows if row[0].strip() == "inventory"]
    (index,) = [number for number, cell in enumerate(links) if f"inventories/{system}/" in cell]
    return {row[0].strip(): row[index].strip() for row in rows if not set(row[0]) <= set("- ")}


def test_a_value_without_a_mark_is_found() -> None:
    text = "a: 1  # seed\nb:\n  c: 2\n  # decided: so\n  d: 3\ne:  # fix\n  f: {g: 4}\nh: [5]\n"
    assert _unmarked(text) == [(3, "  c: 2"), (8, "h: [5]")]


def test_the_site_that_is_not_published_would_be_by_the_lines_beside_it(tmp_path: Path) -> None:
    """Option B of the runbook stands in comments, and comments that are wrong help nobody."""
    root = copied(tmp_path)
    path = root / "inventories/everydayai/system.yaml"
    text = path.read_text()
    start, end = text.index("\nstorage:"), text.index("\nbackup:")
    store = ["storage:", *re.findall(r"^  # (  ?[a-z_]+: |[a-z_]+: )(.*)", text[start:end], re.MULTILINE)]
    lines = ["storage:", *(f"  {key}{value}" for key, value in store[1:])]
    text = text[:start] + "\n" + "\n".join(lines) + "\n" + text[end:]
    text = re.sub(r"^  # ((    |  )?(publish|bucket|cdn|distribution|invalidate):)", r"  \1", text, flags=re.MULTILINE)
    path.write_text(text)
    publish = load("everydayai", "production", root=root).section("frontend", Frontend).publish
    assert publish is not None and publish.cdn is not None
    assert (publish.bucket, publish.cdn.invalidate) == ("everydayai-site", ["/*"])
    assert (
        load("everydayai", "production", root=copied(tmp_path / "as-shipped")).section("frontend", Frontend).publish
        is None
    )


def test_each_service_of_tchat_has_keys_and_channels_of_its_own(tmp_path: Path) -> None:
    """By the inventory's decision; the exporter may not read a key at all."""
    for env in loaded(tmp_path, "tchat").values():
        users = env.section("redis", Redis).users
        variables = [each.env_vars for each in env.services.values()]
        services = [each["REDIS_USERNAME"].value for each in variables if "REDIS_USERNAME" in each]
        assert sorted(map(str, services)) == sorted(users.keys() - {"prometheus"}) and len(services) == 4
        for name in services:
            assert users[str(name)].keys == [f"{name}:*"]
            assert users[str(name)].channels in ([], [f"{name}:*"])
        assert not [rule for rule in users["prometheus"].rules if rule.startswith("+@") or rule == "+get"]


@pytest.mark.covers("RD-13")
def test_the_cache_is_as_large_as_the_service_is_told(tmp_path: Path) -> None:
    """512 MB: the variable counts bytes, Redis's file says the same; that both are in effect is verified."""
    env = loaded(tmp_path, "toeic")["production"]
    host = env.hosts_of("app")[0]
    assert env.env_vars(env.services["app"], host)["CACHE_MAX_MEMORY_USAGE"] == "536870912"
    settings = redis.settings(env.section("redis", Redis), env.hosts_of("cache")[0])
    assert settings["maxmemory"] == "536870912"
