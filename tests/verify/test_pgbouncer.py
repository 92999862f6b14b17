"""PgBouncer as services meet it: a query passes, pools are as large as declared, nobody else gets in."""

from __future__ import annotations

import re
import select
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg
import pytest

from deploys.components.pgbouncer import files
from deploys.components.pgbouncer.model import UNIT, Section, databases, pool_sizes, runs_on, section, users
from deploys.components.postgres import model as cluster
from deploys.operations.pgbouncer import differing
from facts.pgbouncer import console, parse_state, table
from mainstay import ports
from mainstay.inventory import Environment, Host
from mainstay.tunnel import Tunnels

ANSWER_S = 15.0
CONSOLE = "pgbouncer"
"""The database that is its console; the user of that name needs no password for it on the host."""
WRONG = "not-the-password"
REFUSED = re.compile("(SASL|password) authentication failed|not allowed")


@pytest.fixture(scope="module")
def own(environment: Environment) -> Section:
    return section(environment)


@pytest.fixture(scope="module")
def pooler(environment: Environment, member: Host) -> Host:
    """The host under test, where it runs a pooler."""
    if not runs_on(environment, member):
        pytest.skip("no pooler here")
    return member


@pytest.fixture(scope="module")
def way(pooler: Host, own: Section, tunnels: Tunnels) -> Path:
    """To the pooler, as programs on its own host find it."""
    return tunnels.to(pooler, "127.0.0.1", own.port)


@pytest.fixture(scope="module")
def shown(reach: Callable[[str], Any], own: Section, pooler: Host) -> Any:
    """A table of the admin console, rows by column; asked when it is wanted, not ahead: a check here makes what it
    shows."""

    def rows(command: str) -> list[dict[str, str]]:
        done = reach(pooler.name).run(f"cd /; {console(own.port, files.SOCKETS, command)}")
        assert done.rc == 0, f"the pooler's console does not answer on port {own.port}"
        return table(done.stdout.splitlines())

    return rows


def test_the_pooler_runs_and_starts_at_boot(host: Any, pooler: Host) -> None:
    unit = host.service(UNIT)
    assert unit.is_running, f"{UNIT} is not active"
    assert unit.is_enabled, f"{UNIT} does not start at boot"


def test_every_client_may_have_its_connection(host: Any, environment: Environment, pooler: Host) -> None:
    """A connection is a file: systemd's limit decides, whatever max_client_conn says."""
    found = host.check_output(f"grep 'open files' /proc/$(systemctl show -p MainPID --value {UNIT})/limits").split()[3]
    wanted = files.descriptors(environment, pooler)
    assert int(found) >= wanted, f"{UNIT} may open {found} files, {wanted} wanted"


def test_settings_and_pools_are_in_effect(host: Any, environment: Environment, pooler: Host, own: Section) -> None:
    """`SHOW CONFIG` and `SHOW DATABASES`: by them the pools of all poolers fit PostgreSQL (DF-13)."""
    lines = []
    for title in ("CONFIG", "DATABASES"):
        done = host.run(f"cd /; {console(own.port, files.SOCKETS, f'SHOW {title}')}")
        assert done.rc == 0, f"SHOW {title} is not answered"
        lines += ["settings" if title == "CONFIG" else "databases", *done.stdout.splitlines()]
    state = parse_state(["running", *lines])
    assert state is not None
    changes = differing(files.settings(environment, pooler), files.databases(environment, pooler), state)
    assert not changes, "; ".join(changes)
    stopped = [n for n, row in state.databases.items() if row.get("paused") == "1" or row.get("disabled") == "1"]
    assert not stopped, f"paused or disabled: {', '.join(stopped)}"


def test_listens_where_it_should(host: Any, pooler: Host, own: Section) -> None:
    lines = host.check_output(f"ss -Hltn 'sport = :{own.port}'").splitlines()
    found = {line.split()[3].rpartition(":")[0].strip("[]") for line in lines}
    assert found == set(files.listen(own, pooler).split(",")), f"listens on {', '.join(sorted(found)) or 'nothing'}"


def test_passwords_are_for_the_pooler_alone(host: Any, pooler: Host, environment: Environment) -> None:
    for path in (files.USERS, files.CONFIG):
        found = host.check_output(f"stat -c '%U %G %a' {path}")
        assert found == "root postgres 640", f"{path}: {found}"
    names = host.check_output(f"cut -d'\"' -f2 {files.USERS}").split()
    assert sorted(names) == sorted(users(environment)), f"{files.USERS}: {', '.join(names)}"


@pytest.mark.covers("PT-16")
def test_a_query_passes_by_the_declared_pool(environment: Environment, own: Section, shown: Any, way: Path) -> None:
    """As a service asks it, and the pool that it went through is there, in the mode that is declared."""
    for name, role in users(environment).items():
        for database in role.databases:
            assert _login(environment, way, name, database) == (name, database)
    found = {(row["database"], row["user"]): row["pool_mode"] for row in shown("SHOW POOLS")}
    for name, role in users(environment).items():
        for database in role.databases:
            mode = found.get((database, name))
            assert mode == own.mode, f"{name} in {database}: pool mode {mode or 'unknown'}, not {own.mode}"
    sizes = {row["name"]: row["pool_size"] for row in shown("SHOW DATABASES")}
    for database, size in pool_sizes(environment).items():
        assert sizes.get(database) == str(size), (
            f"{database}: {sizes.get(database, 'no')} server connections, not {size}"
        )


def test_a_wrong_password_is_refused(environment: Environment, way: Path) -> None:
    name, role = next(iter(users(environment).items()))
    with pytest.raises(psycopg.OperationalError, match=REFUSED):
        _login(environment, way, name, role.databases[0], password=WRONG)


def test_nobody_else_gets_in(environment: Environment, way: Path) -> None:
    """By the network and with passwords that are right: no role that no service has, and nobody to the console."""
    theirs, pooled = users(environment), databases(environment)
    others = {name: role for name, role in cluster.section(environment).roles.items() if name not in theirs}
    tried = [(name, next((d for d in role.databases if d in pooled), pooled[0])) for name, role in others.items()]
    tried += [("postgres", pooled[0]), *((name, CONSOLE) for name in ("pgbouncer", *theirs))]
    found = {f"{name} in {database}": _refusal(environment, way, name, database) for name, database in tried}
    said = [f"{who}: {told or 'let in'}" for who, told in found.items() if not REFUSED.search(told)]
    assert not said, "; ".join(said)


@pytest.mark.roles("app")
def test_services_reach_the_pooler_from_here(
    environment: Environment, member: Host, own: Section, tunnels: Tunnels
) -> None:
    """Over the network, where it stands beside the cluster; its firewall lets their hosts in."""
    if own.role != "db":
        return  # each has its own, by loopback, which is asked above
    for name, role in users(environment).items():
        if set(cluster.client_roles(environment, role)) & set(member.roles):
            there = tunnels.to(member, environment.hosts_of("db")[0].address, own.port)
            assert _login(environment, there, name, role.databases[0]) == (name, role.databases[0])


@pytest.mark.roles("web", "cache", "monitoring")
def test_the_pooler_cannot_be_reached_from_here(host: Any, environment: Environment, own: Section) -> None:
    for pooler in environment.hosts_of(own.role):
        assert not ports.answers(host, pooler, own.port), f"{pooler.name} answers on {own.port}"


def _login(
    environment: Environment, way: Path, role: str, database: str, *, password: str | None = None
) -> tuple[str, str]:
    """Who and where the server says one is, after a login by `way`."""
    with _connected(environment, way, role, database, password) as connection:
        return _answer(connection)


def _refusal(environment: Environment, way: Path, role: str, database: str) -> str:
    """What a login by `way` is refused with; nothing where it is not."""
    try:
        with _connected(environment, way, role, database):
            return ""
    except psycopg.OperationalError as error:
        return str(error).strip().splitlines()[-1]


def _connected(
    environment: Environment, way: Path, role: str, database: str, password: str | None = None
) -> psycopg.Connection[Any]:
    """By default with the role's own password, any where it has none; it never leaves this process."""
    spec = cluster.section(environment).roles.get(role)
    if password is None:
        password = environment.secrets.get(spec.password).reveal() if spec and spec.password else WRONG
    port = section(environment).port
    return psycopg.connect(host=str(way), port=port, user=role, password=password, dbname=database, connect_timeout=10)


def _answer(connection: psycopg.Connection[Any]) -> tuple[str, str]:
    """Who and where one is; a pooler without a server lets a client in and then has it wait for two minutes."""
    asked = connection.pgconn
    asked.send_query(b"SELECT current_user, current_database()")
    deadline = time.monotonic() + ANSWER_S
    while asked.is_busy():
        left = deadline - time.monotonic()
        assert left > 0 and select.select([asked.socket], [], [], left)[0], f"no answer within {ANSWER_S:g} s"
        asked.consume_input()
    result = asked.get_result()
    while asked.get_result() is not None:
        pass  # else the connection still counts as asking
    assert result is not None and result.ntuples == 1, asked.get_error_message().strip()
    name, database = (result.get_value(0, column) or b"" for column in (0, 1))
    return name.decode(), database.decode()
