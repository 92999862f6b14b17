"""PgBouncer on real hosts: from bare to converged, clients beyond every connection, drift, and each check seen to
fail."""

from __future__ import annotations

import shlex
from collections.abc import Iterator

import pytest

from mainstay.inventory.stores import secrets_file
from mainstay.secrets import SecretStore
from tests.lab import store as stores
from tests.lab.store import APP, DB, Store

CONFIG, USERS = "/etc/pgbouncer/pgbouncer.ini", "/etc/pgbouncer/userlist.txt"
# A drop-in of a later name, as an operator who tries something leaves it.
FEWER = "/run/systemd/system/pgbouncer.service.d"
ANEW = "systemctl daemon-reload && systemctl restart pgbouncer"
POOL = 13
"""Of 40 connections 13 are reserved; two databases share 27."""


@pytest.fixture(scope="module")
def store(lab: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    """The database and its app host, each converged from bare by one apply."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MAINSTAY_OPERATOR", "alex")
        found = stores.new(tmp_path_factory.mktemp("store") / "project", f"{lab}-store")
        found.outside("down")
        found.outside("up", "store", "--env", "staging")
        found.converged(APP)
        found.converged(DB)
        yield found
        found.outside("down")


def console(store: Store, command: str, host: str = DB) -> list[list[str]]:
    sent = f"cd / && runuser -u postgres -- psql -XAtqw -p 6432 -U pgbouncer pgbouncer -c {shlex.quote(command)}"
    return [line.split("|") for line in store.sh(host, sent).splitlines()]


def test_a_converged_host_passes_every_check(store: Store) -> None:
    assert store.failing("pgbouncer", DB, APP) == set()
    assert store.failing("postgres", DB, APP) == set()


@pytest.mark.covers("PT-16")
def test_more_clients_than_connections_are_served(store: Store) -> None:
    """200 clients at once, each with its query, on a cluster that takes 40; the pool alone reaches it."""
    password = opened(store, "PG_APP_PASSWORD")
    # The query holds its connection for a moment, so that clients wait for each other.
    one = "psql -XAtqw -h 127.0.0.1 -p 6432 -U store_app orders -c 'SELECT 1 FROM pg_sleep(0.2)'"
    ask = f"for i in $(seq 200); do {one} & done | sort | uniq -c; wait"
    answers = store.sh(DB, f"read -r PGPASSWORD << 'END'\n{password}\nEND\nexport PGPASSWORD\n{ask}", 120)
    assert answers.split() == ["200", "1"]
    held = "SELECT count(*) FROM pg_stat_activity WHERE usename = 'store_app' AND datname = 'orders'"
    assert 1 < int(store.psql(held)) <= POOL


def opened(store: Store, name: str) -> str:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MAINSTAY_AGE_IDENTITY", str(store.identity))
        return SecretStore.open(secrets_file(store.project, "store", "staging")).get(name).reveal()


def test_drift_is_seen_and_brought_back_without_a_restart(store: Store) -> None:
    pid = store.sh(DB, "systemctl show -p MainPID --value pgbouncer")
    console(store, "SET max_client_conn = 50")
    store.sh(DB, f"chmod 0644 {USERS}; sed -i 's/pool_size=13/pool_size=30/' {CONFIG}")
    assert store.failing("pgbouncer", DB) == {
        "settings and pools are in effect",
        "passwords are for the pooler alone",
    }
    shown = store.well("plan", store.target, "--limit", DB)
    assert "max_client_conn: 50 in effect" in shown and "+orders = host=127.0.0.1 port=5432" in shown, shown
    store.converged(DB)
    assert store.failing("pgbouncer", DB) == set()
    assert store.sh(DB, "systemctl show -p MainPID --value pgbouncer") == pid


def test_a_rotated_password_counts_in_both_places_and_shows_nowhere(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    planted = "planted-8b1c4e-password"
    monkeypatch.setenv("MAINSTAY_AGE_IDENTITY", str(store.identity))
    secrets = SecretStore.open(secrets_file(store.project, "store", "staging"))
    before = secrets.get("PG_APP_PASSWORD").reveal()
    pid = store.sh(DB, "systemctl show -p MainPID --value pgbouncer")
    try:
        secrets.set("PG_APP_PASSWORD", planted)
        shown = store.well("plan", store.target, "--limit", DB)
        store.converged(DB)
        assert store.failing("pgbouncer", DB, APP) == set()
        log = store.sh(DB, "cat /var/log/postgresql/*.log; journalctl --no-pager -o cat")
        assert planted not in log + shown
        assert store.sh(DB, "systemctl show -p MainPID --value pgbouncer") == pid
    finally:
        secrets.set("PG_APP_PASSWORD", before)
        store.converged(DB)


def test_what_it_refuses_is_put_back(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    before = store.sh(DB, f"sha256sum {CONFIG} {USERS}")
    with store.template("pgbouncer/pgbouncer.ini.j2", "[pgbouncer]\n", "[pgbouncer]\nserver_lifetime = forever\n"):
        outcome = store.apply_own(DB)
        assert outcome.returncode == 1 and "server_lifetime" in outcome.stdout, outcome.stdout + outcome.stderr
    monkeypatch.setenv("MAINSTAY_AGE_IDENTITY", str(store.identity))
    secrets = SecretStore.open(secrets_file(store.project, "store", "staging"))
    value = secrets.get("PG_APP_PASSWORD").reveal()
    try:
        secrets.set("PG_APP_PASSWORD", 'a "quoted" password')
        outcome = store.apply_own(DB)
        assert outcome.returncode == 1 and "a password holds a double quote" in outcome.stdout, outcome.stdout
    finally:
        secrets.set("PG_APP_PASSWORD", value)
    assert store.sh(DB, f"sha256sum {CONFIG} {USERS}") == before
    store.converged(DB)
    assert store.failing("pgbouncer", DB, APP) == set()


def test_another_port_waits_for_leave(store: Store) -> None:
    with store.edited("system.yaml", "pgbouncer: {role: db,", "pgbouncer: {role: db, port: 6433,"):
        outcome = store.apply(DB)
        assert outcome["ok"], outcome["reason"]
        assert "listen_port: waits for a restart: with --allow-restart" in store.well(
            "plan", store.target, "--limit", DB
        )
        assert store.sh(DB, "ss -Hltn 'sport = :6432' | wc -l").strip() == "2"
        with store.edited("system.yaml", "port: 6433,", "port: 6433, allow_restart: true,"):
            store.converged(DB)
            assert store.failing("pgbouncer", DB) == set()
    with store.edited("system.yaml", "pgbouncer: {role: db,", "pgbouncer: {role: db, allow_restart: true,"):
        store.converged(DB)
    assert store.failing("pgbouncer", DB, APP) == set()


BREAKS = {
    "stopped": ("systemctl stop pgbouncer", "systemctl start pgbouncer", "the pooler runs and starts at boot"),
    "not at boot": (
        "systemctl disable --quiet pgbouncer",
        "systemctl enable --quiet pgbouncer",
        "the pooler runs and starts at boot",
    ),
    "listens everywhere": (
        f"sed -i 's/^listen_addr.*/listen_addr = */' {CONFIG} && systemctl restart pgbouncer",
        f"put back {CONFIG}",
        "listens where it should",
    ),
    "cluster away": (
        "systemctl stop postgresql@15-main",
        "systemctl start postgresql@15-main",
        "a query passes by the declared pool",
    ),
    "too few files": (
        f"mkdir -p {FEWER} && printf '[Service]\\nLimitNOFILE=1024\\n' > {FEWER}/99-fewer.conf && {ANEW}",
        f"rm -r {FEWER} && {ANEW}",
        "every client may have its connection",
    ),
    "anybody": (
        f"sed -i 's/^auth_type.*/auth_type = any/' {CONFIG} && systemctl reload pgbouncer",
        f"put back {CONFIG}",
        "a wrong password is refused",
    ),
    "an administrator by the network": (
        f"echo 'admin_users = store_app' >> {CONFIG} && systemctl reload pgbouncer",
        f"put back {CONFIG}",
        "nobody else gets in",
    ),
    "another password": (
        f'sed -i \'s/"store_app" ".*"/"store_app" "other"/\' {USERS} && systemctl reload pgbouncer',
        f"put back {USERS}",
        "a query passes by the declared pool",
    ),
}


@pytest.mark.parametrize("name", BREAKS)
def test_a_broken_pooler_fails_its_check(store: Store, name: str) -> None:
    broken, mended, check = BREAKS[name]
    file = mended.removeprefix("put back ") if mended.startswith("put back ") else ""
    if file:
        broken = f"cp -p {file} /root/kept && {broken}"
        mended = f"cp -p /root/kept {file} && systemctl restart pgbouncer"
    store.sh(DB, f"{broken}; sleep 0.5")
    try:
        assert check in store.failing("pgbouncer", DB)
    finally:
        store.sh(DB, f"{mended}; sleep 0.5")


def test_an_owner_who_gets_in_by_the_pooler_fails_its_check(store: Store) -> None:
    """With its own password, and PostgreSQL lets it in by loopback."""
    line = f'"store_owner" "{opened(store, "PG_OWNER_PASSWORD")}"'
    store.sh(
        DB, f"cp -p {USERS} /root/kept && cat >> {USERS} << 'END'\n{line}\nEND\nsystemctl reload pgbouncer; sleep 0.5"
    )
    try:
        assert store.failing("pgbouncer", DB) == {"nobody else gets in", "passwords are for the pooler alone"}
    finally:
        store.sh(DB, f"cp -p /root/kept {USERS} && systemctl restart pgbouncer; sleep 0.5")


def test_what_was_broken_is_mended(store: Store) -> None:
    assert store.failing("pgbouncer", DB) == set()


def test_a_pooler_beside_the_services_speaks_tls_to_the_cluster(store: Store) -> None:
    """On the app host instead: by loopback for services, encrypted on the network; the budget is the same."""
    with store.edited("system.yaml", "pgbouncer: {role: db,", "pgbouncer: {role: app,"):
        store.converged(APP)
        assert store.failing("pgbouncer", APP) == set()
        ssl = store.psql(
            "SELECT bool_and(ssl) FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) "
            "WHERE usename = 'store_app' AND client_addr <> '127.0.0.1'"
        )
        assert ssl == "t"
