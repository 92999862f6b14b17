"""PostgreSQL on real hosts: from bare to converged, drift brought back, refused configurations put back, every check
seen to fail."""

from __future__ import annotations

import shlex

import pytest

from mainstay.inventory.stores import secrets_file
from mainstay.secrets import SecretStore
from tests.lab.bench import Bench

DB, APP, WEB = "eai-stg-db-1", "eai-stg-app-1", "eai-stg-web-1"
CONF = "/etc/postgresql/15/main"
UNIT = "postgresql@15-main.service"


def psql(bench: Bench, sql: str, database: str = "postgres") -> str:
    command = f"cd / && runuser -u postgres -- psql -XAtq -d {database} -v ON_ERROR_STOP=1 -c {shlex.quote(sql)}"
    return bench.sh(DB, command).strip()


def reload(bench: Bench) -> None:
    bench.sh(DB, f"systemctl reload {UNIT} && sleep 1")


@pytest.fixture(scope="module")
def db(bench: Bench) -> Bench:
    """The database host, converged from bare by one apply."""
    bench.apply(APP)  # for its operators: what else it needs is no concern here
    bench.converged(DB)
    return bench


def test_a_converged_host_passes_every_check(db: Bench) -> None:
    assert db.failing("postgres", DB, APP) == set()


def test_the_cluster_is_utf8_with_checksums(db: Bench) -> None:
    assert psql(db, "SELECT current_setting('server_encoding'), current_setting('data_checksums')") == "UTF8|on"


def test_a_session_of_the_app_role_knows_its_limits(db: Bench) -> None:
    shown = db.sh(
        DB, "psql -XAtq -U everydayai_app everydayai -c 'SHOW idle_session_timeout' -c 'SHOW statement_timeout'"
    )
    assert shown.split() == ["1h", "30s"]


@pytest.mark.covers("PT-17")
def test_a_session_of_the_app_role_that_is_idle_for_too_long_ends(db: Bench) -> None:
    """A second instead of the inventory's hour."""
    settings = psql(db, "SELECT array_to_string(rolconfig, ',') FROM pg_roles WHERE rolname = 'everydayai_app'")
    assert "idle_session_timeout=3600000ms" in settings
    with db.edited("system.yaml", "idle_session_timeout: 1h", "idle_session_timeout: 1s"):
        db.converged(DB)
        idle = "\\! sleep 3\nSELECT 'still ' || 'there';\n"
        said = db.sh(DB, f"printf %s {shlex.quote(idle)} | psql -XAtq -U everydayai_app everydayai 2>&1 || true")
        assert "idle-session timeout" in said and "still there" not in said
    db.converged(DB)


@pytest.mark.covers("DF-95")
def test_roles_may_do_what_they_need_and_no_more(db: Bench) -> None:
    psql(
        db,
        "SET ROLE everydayai_owner; CREATE TABLE public.t (id int GENERATED ALWAYS AS IDENTITY, n int)",
        "everydayai",
    )
    try:
        app, reader = "psql -XAtq -U everydayai_app everydayai -c", "psql -XAtq -U everydayai_readonly everydayai -c"
        db.sh(DB, f"{app} 'INSERT INTO public.t (n) VALUES (1)' && {app} 'UPDATE public.t SET n = 2'")
        assert db.sh(DB, f"{reader} 'SELECT n FROM public.t'").strip() == "2"
        assert "permission denied" in db.sh(DB, f"{reader} 'DELETE FROM public.t' 2>&1 || true")
        assert "must be owner" in db.sh(DB, f"{app} 'DROP TABLE public.t' 2>&1 || true")
        assert "permission denied" in db.sh(DB, f"{app} 'CREATE TABLE public.u (i int)' 2>&1 || true")
        db.sh(
            DB, f"{app} 'CREATE TABLE u (i int)' && {reader} 'SELECT * FROM everydayai_app.u' && {app} 'DROP TABLE u'"
        )
        assert "CREATE TABLE" in db.sh(DB, "pg_dump -s -U everydayai_backup everydayai")
    finally:
        psql(db, "DROP TABLE public.t", "everydayai")
    assert not db.plan(DB)["changes"]


def test_drift_is_seen_and_brought_back(db: Bench) -> None:
    psql(db, "ALTER ROLE everydayai_readonly SUPERUSER CONNECTION LIMIT 3")
    psql(db, "ALTER SYSTEM SET work_mem = '1MB'")
    psql(db, "GRANT CONNECT ON DATABASE everydayai TO PUBLIC")
    psql(db, "GRANT CREATE ON SCHEMA public TO PUBLIC", "everydayai")
    db.sh(DB, f"echo 'seq_page_cost = 3' > {CONF}/conf.d/99-mine.conf; echo 'jit = off' >> {CONF}/postgresql.conf")
    db.sh(DB, f"echo 'host all all all trust' >> {CONF}/pg_hba.conf; systemctl stop {UNIT}; systemctl start {UNIT}")
    notes = [f"{note['subject']}: {note['text']}" for op in db.plan(DB)["changes"] for note in op["notes"]]
    text = "\n".join(notes)
    for expected in (
        "everydayai_readonly: SUPERUSER -> NOSUPERUSER, CONNECTION LIMIT 3 -> -1",
        "work_mem: ALTER SYSTEM overrides the files: reset",
        "everydayai: revoke CONNECT from PUBLIC",
        "schema public: revoke CREATE from PUBLIC",
        "-host all all all trust",
        "-jit = off",
        "99-mine.conf: sets seq_page_cost over the inventory: removed",
    ):
        assert expected in text
    db.converged(DB)
    assert db.failing("postgres", DB) == set()


def test_a_rotated_password_counts_and_stays_out_of_sight(db: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither the server's log, with every statement logged, nor a process list ever holds it."""
    planted = "planted-4f1d0c2a-password"
    monkeypatch.setenv("MAINSTAY_AGE_IDENTITY", str(db.identity))
    store = SecretStore.open(secrets_file(db.project, "everydayai", "staging"))
    before = store.get("PG_APP_PASSWORD").reveal()
    psql(db, "ALTER SYSTEM SET log_statement = 'all'")
    reload(db)
    watch = "for i in $(seq 400); do cat /proc/[0-9]*/cmdline 2>/dev/null | tr '\\0' ' '; sleep 0.01; done > /tmp/argv"
    db.sh(DB, f"systemd-run --quiet --unit=argv-watch bash -c {shlex.quote(watch)}")
    try:
        store.set("PG_APP_PASSWORD", planted)
        db.converged(DB)
        log = db.sh(DB, "cat /var/log/postgresql/*.log; journalctl --no-pager -o cat; cat /tmp/argv")
        assert planted not in log
        assert "SCRAM-SHA-256$" not in log
        assert "psql" in db.sh(DB, "cat /tmp/argv"), "the watch saw no psql, so it proves nothing"
        assert db.failing("postgres", APP, DB) == set()
    finally:
        store.set("PG_APP_PASSWORD", before)
        psql(db, "ALTER SYSTEM RESET log_statement")
        db.converged(DB)


@pytest.mark.parametrize(
    ("setting", "reason"),
    [
        ("no_such_setting: 1", "unrecognized configuration parameter"),
        ("work_mem: 1 furlong", "invalid value for parameter"),
        ("shared_preload_libraries: no_such_library", "could not access file"),
    ],
)
def test_what_postgresql_refuses_is_put_back(db: Bench, setting: str, reason: str) -> None:
    """The last one parses; only a start shows that there is no such file."""
    before = db.sh(
        DB, f"cd {CONF} && sha256sum conf.d/* pg_hba.conf pg_ident.conf; stat -c '%U %a' conf.d/* pg_hba.conf"
    )
    with db.edited("system.yaml", "log_min_duration_statement: 100ms", setting):
        outcome = db.apply(DB)
    assert not outcome["ok"] and reason in outcome["reason"], outcome["reason"]
    after = db.sh(
        DB, f"cd {CONF} && sha256sum conf.d/* pg_hba.conf pg_ident.conf; stat -c '%U %a' conf.d/* pg_hba.conf"
    )
    assert after == before
    assert psql(db, "SELECT 1") == "1"
    db.converged(DB)
    assert db.failing("postgres", DB) == set()


@pytest.mark.covers("PT-08", "PG-16", "DF-12")
def test_a_restart_waits_for_leave(db: Bench) -> None:
    """The operator's, or a window's; until then every command says what waits, and nothing fails for it."""
    started = psql(db, "SELECT pg_postmaster_start_time()")
    raised = db.edited("system.yaml", "max_connections: 100 ", "max_connections: 120 ")
    closed = db.edited("system.yaml", "windows: ['Sun 02:00-04:00 UTC']", "windows: []")
    waits = "max_connections: 100 in effect, 120 wanted, waits for a restart: with --allow-restart"
    with db.edited("staging.yaml", "allow_restart: true", "allow_restart: false"), raised, closed:
        done = db.mainstay("apply", db.target, "--limit", DB)
        assert done.returncode == 0, done.stdout + done.stderr
        assert f"pending {DB}: {waits}" in done.stdout, done.stdout
        assert psql(db, "SHOW max_connections") == "100"
        assert psql(db, "SELECT pending_restart FROM pg_settings WHERE name = 'max_connections'") == "t"
        assert psql(db, "SELECT pg_postmaster_start_time()") == started
        shown = db.mainstay("plan", db.target, "--limit", DB)
        assert waits in shown.stdout and f"{DB}: no change" in shown.stdout, shown.stdout
        checked = db.mainstay("verify", db.target, "--limit", DB, "--component", "postgres")
        assert checked.returncode == 0 and "waiting for a restart, with --allow-restart: max_conn" in checked.stdout
        done = db.mainstay("apply", db.target, "--limit", DB, "--allow-restart")
        assert done.returncode == 0 and "pending" not in done.stdout, done.stdout + done.stderr
        assert psql(db, "SHOW max_connections") == "120"
    opened = db.edited("system.yaml", "windows: ['Sun 02:00-04:00 UTC']", "windows: ['daily 00:00-23:59 UTC']")
    backup = db.edited("system.yaml", "schedule_utc: '15 1 * * *'", "schedule_utc: '59 23 * * *'")
    with db.edited("staging.yaml", "allow_restart: true", "allow_restart: false"), backup, opened:
        db.converged(DB)  # back to 100, in a window
        assert psql(db, "SHOW max_connections") == "100"
        assert db.failing("postgres", DB) == set()
    db.converged(DB)


@pytest.mark.covers("TP-09")
def test_what_alter_system_left_is_told_and_left_where_the_inventory_says_nothing(db: Bench) -> None:
    psql(db, "ALTER SYSTEM SET log_statement = 'ddl'")
    reload(db)
    try:
        shown = db.mainstay("plan", db.target, "--limit", DB)
        assert "log_statement: ALTER SYSTEM overrides the files: left alone" in shown.stdout, shown.stdout
        checked = db.mainstay("verify", db.target, "--limit", DB, "--component", "postgres")
        told = "set by ALTER SYSTEM, which the inventory knows nothing of: log_statement"
        assert checked.returncode == 0 and told in checked.stdout, checked.stdout
        db.converged(DB)
        assert psql(db, "SHOW log_statement") == "ddl"
    finally:
        psql(db, "ALTER SYSTEM RESET log_statement")
        reload(db)


def test_pg_stat_statements_is_loaded_where_a_database_lists_it(db: Bench) -> None:
    listed = "everydayai: {owner: everydayai_owner, extensions: [pg_stat_statements]}"
    with db.edited("system.yaml", "everydayai: {owner: everydayai_owner}", listed):
        db.converged(DB)
        assert psql(db, "SHOW shared_preload_libraries") == "pg_stat_statements"
        assert int(psql(db, "SELECT count(*) FROM pg_stat_statements", "everydayai")) > 0
        assert db.failing("postgres", DB) == set()
        psql(db, "DROP EXTENSION pg_stat_statements", "everydayai")
        assert db.failing("postgres", DB) == {"extensions are there"}
    db.converged(DB)
    assert psql(db, "SHOW shared_preload_libraries") == ""


BREAKS: dict[str, tuple[str, str, set[str]]] = {
    "pending restart": (
        "ALTER SYSTEM SET max_wal_senders = 7",
        "ALTER SYSTEM RESET max_wal_senders",
        {"nothing waits for a restart"},
    ),
    "value not in effect": (
        "ALTER DATABASE postgres SET work_mem = '77kB'",
        "ALTER DATABASE postgres RESET work_mem",
        {"settings are in effect"},
    ),
    "alter system": (
        "ALTER SYSTEM SET seq_page_cost = 1.0",
        "ALTER SYSTEM RESET seq_page_cost",
        {"alter system overrides nothing"},
    ),
    "role with powers": (
        "ALTER ROLE everydayai_readonly CREATEDB",
        "ALTER ROLE everydayai_readonly NOCREATEDB",
        {"roles are those of the inventory"},
    ),
    "second superuser": ("CREATE ROLE mallory SUPERUSER", "DROP ROLE mallory", {"nobody but postgres is a superuser"}),
    "md5 password": (
        "SET password_encryption = 'md5'; CREATE ROLE mallory PASSWORD 'x'",
        "DROP ROLE mallory",
        {"passwords are kept as scram"},
    ),
    "open database": (
        "GRANT CONNECT ON DATABASE everydayai TO PUBLIC",
        "REVOKE CONNECT ON DATABASE everydayai FROM PUBLIC",
        {"databases are open to their roles only"},
    ),
}


@pytest.mark.parametrize("name", BREAKS)
def test_a_broken_server_fails_its_check_and_no_other(db: Bench, name: str) -> None:
    broken, mended, checks = BREAKS[name]
    psql(db, broken)
    reload(db)
    try:
        assert db.failing("postgres", DB) == checks
    finally:
        psql(db, mended)
        reload(db)


def test_an_open_schema_fails_its_check(db: Bench) -> None:
    psql(db, "GRANT CREATE ON SCHEMA public TO everydayai_app", "everydayai")
    try:
        assert db.failing("postgres", DB) == {"only owners create in public"}
    finally:
        psql(db, "REVOKE CREATE ON SCHEMA public FROM everydayai_app", "everydayai")


HBA = {
    "superuser over TCP": (
        f"sed -i '1i host all postgres all trust' {CONF}/pg_hba.conf",
        {"the superuser is refused over the network", "access rules are loaded without errors"},
    ),
    "role from everywhere": (
        f"echo 'host everydayai everydayai_app all scram-sha-256' >> {CONF}/pg_hba.conf",
        {"roles are refused from hosts that are not theirs", "access rules are loaded without errors"},
    ),
    "rule that does not parse": (
        f"echo 'host everydayai everydayai_app nowhere/99 scram-sha-256' >> {CONF}/pg_hba.conf",
        {"access rules are loaded without errors"},
    ),
    "root's way in is gone": (
        f"sed -i '/peer map=/d' {CONF}/pg_hba.conf",
        {"each role gets an answer", "access rules are loaded without errors"},
    ),
}


@pytest.mark.covers("TP-10")
@pytest.mark.parametrize("name", HBA)
def test_broken_access_rules_fail_their_checks(db: Bench, name: str) -> None:
    command, checks = HBA[name]
    db.sh(DB, f"cp -p {CONF}/pg_hba.conf /root/hba && {command}")
    reload(db)
    try:
        assert db.failing("postgres", DB) == checks
    finally:
        db.sh(DB, f"mv /root/hba {CONF}/pg_hba.conf")
        reload(db)


def test_an_app_host_that_is_locked_out_fails_its_check(db: Bench) -> None:
    address = db.environment.hosts[APP].address
    db.sh(DB, f"cp -p {CONF}/pg_hba.conf /root/hba && sed -i '/{address}/d' {CONF}/pg_hba.conf")
    reload(db)
    try:
        assert db.failing("postgres", APP) == {"app roles log in from here"}
    finally:
        db.sh(DB, f"mv /root/hba {CONF}/pg_hba.conf")
        reload(db)


def test_a_database_that_a_web_host_reaches_is_seen_there(db: Bench) -> None:
    """Firewall and pg_hba.conf both keep it out: either alone is enough."""
    reached = "the database cannot be reached from here"
    db.apply(WEB)  # for its operators
    address = db.environment.hosts[WEB].address
    rule = f"host everydayai all {address}/32 scram-sha-256"
    db.sh(DB, f"cp -p {CONF}/pg_hba.conf /root/hba && sed -i '1i {rule}' {CONF}/pg_hba.conf")
    reload(db)
    try:
        assert db.failing("postgres", WEB) == set()
        db.sh(DB, "nft insert rule inet mainstay input tcp dport 5432 accept")
        assert db.failing("postgres", WEB) == {reached}
    finally:
        db.sh(DB, f"mv /root/hba {CONF}/pg_hba.conf; nft -f /etc/nftables.conf")
        reload(db)
    assert db.failing("postgres", WEB) == set()


def test_data_without_checksums_is_seen(db: Bench) -> None:
    def checksums(verb: str) -> None:
        program = f"/usr/lib/postgresql/15/bin/pg_checksums --{verb} -D /var/lib/postgresql/15/main"
        db.sh(DB, f"systemctl stop {UNIT}; cd / && runuser -u postgres -- {program} && systemctl start {UNIT}")

    checksums("disable")
    try:
        assert db.failing("postgres", DB) == {"data has checksums"}
    finally:
        checksums("enable")


@pytest.mark.covers("HC-04", "TP-02")
def test_a_stopped_cluster_is_seen_although_the_meta_unit_is_active(db: Bench) -> None:
    db.sh(DB, f"systemctl stop {UNIT}")
    try:
        assert db.sh(DB, "systemctl is-active postgresql.service").strip() == "active"
        assert "the cluster itself runs and starts at boot" in db.failing("postgres", DB)
        assert "postgresql@15-main.service" in str(db.plan(DB)["changes"])
    finally:
        db.converged(DB)


def test_a_cluster_that_does_not_start_at_boot_is_seen(db: Bench) -> None:
    db.sh(DB, f"systemctl disable {UNIT}; echo manual > {CONF}/start.conf; systemctl daemon-reload")
    try:
        assert db.failing("postgres", DB) == {"the cluster itself runs and starts at boot"}
    finally:
        db.sh(DB, f"echo auto > {CONF}/start.conf; systemctl daemon-reload")
        db.converged(DB)


def test_a_cluster_that_listens_everywhere_is_seen(db: Bench) -> None:
    db.sh(DB, f"echo \"listen_addresses = '*'\" > {CONF}/conf.d/99-mine.conf; systemctl restart {UNIT}")
    try:
        checks = db.failing("postgres", DB)
        assert checks == {"listens on loopback and the private address only", "settings are in effect"}
    finally:
        db.sh(DB, f"rm {CONF}/conf.d/99-mine.conf; systemctl restart {UNIT}")


def test_nothing_is_left_of_all_this(db: Bench) -> None:
    assert not db.plan(DB)["changes"]
    assert db.failing("postgres", DB, APP) == set()
