"""Databases, cache and services while they are used: what is slow is kept, what blocks is refused, secrets agree."""

from __future__ import annotations

import json
import shlex

import pytest

from mainstay.inventory.stores import secrets_file
from mainstay.secrets import SecretStore
from mainstay.secrets.identity import VARIABLE
from tests.lab.laptop import SYSTEM
from tests.lab.releases import APP, CACHE, DB, Stage

ENV = "/etc/everydayai/backend.env"
UNIT = "$(systemctl list-units --plain --no-legend 'everydayai-backend@*' | cut -d' ' -f1)"
PSQL = "runuser -u postgres -- psql -X -A -t -d everydayai -c"
LOGIN = 'REDISCLI_AUTH="$(cat /etc/mainstay/redis.password)"'
CLI = "redis-cli --user mainstay --no-auth-warning"
ADMIN = f"{LOGIN} {CLI}"
WALK = """next=0; while :; do
    said=$(redis SCAN $next MATCH 'walked:*' COUNT 1000); next=$(head -n 1 <<< "$said"); tail -n +2 <<< "$said"
    [ "$next" != 0 ] || break
done"""
AGREE = "processes hold the secrets of the store"


def as_the_service(behind: Stage, script: str) -> str:
    """What a script prints on the cache host, in which `redis` asks as the service's own user."""
    read = f"sed -n 's/^REDIS_PASSWORD=\"\\(.*\\)\"$/\\1/p' {ENV}"
    password = behind.sh(APP, read).strip()
    ask = 'redis() { redis-cli --user everydayai --no-auth-warning "$@"; }'
    return behind.inside(CACHE, f"cd /; export REDISCLI_AUTH={shlex.quote(password)}; {ask}; {script}")


@pytest.mark.covers("MT-36")
def test_a_statement_that_takes_longer_than_the_warning_is_in_the_log(behind: Stage) -> None:
    threshold = behind.environment.common.thresholds["db_query_ms"].warn
    assert behind.sh(DB, f"{PSQL} 'SHOW log_min_duration_statement'").strip() == f"{threshold:g}ms"
    log = "/var/log/postgresql/postgresql-15-main.log"
    behind.sh(DB, f"{PSQL} 'SELECT 4711 AS quick'; {PSQL} 'SELECT 4712 AS slow, pg_sleep(0.3)'")
    said = behind.sh(DB, f"cat {log}")
    assert "SELECT 4712 AS slow, pg_sleep(0.3)" in said
    assert "SELECT 4711 AS quick" not in said


@pytest.mark.covers("RD-03")
def test_a_command_that_blocks_for_ten_milliseconds_is_kept(behind: Stage) -> None:
    """A script that counts: DEBUG SLEEP is nothing that this server knows."""
    count = "for i = 1, 20000000 do end return 4711"
    behind.sh(CACHE, f"{ADMIN} SLOWLOG RESET; {ADMIN} EVAL {shlex.quote(count)} 0")
    assert count in behind.sh(CACHE, f"{ADMIN} SLOWLOG GET 10")
    assert behind.sh(CACHE, f"{ADMIN} CONFIG GET slowlog-log-slower-than").split() == [
        "slowlog-log-slower-than",
        "10000",
    ]


@pytest.mark.covers("RD-06")
def test_keys_are_walked_by_scan_alone_and_nobody_waits(behind: Stage) -> None:
    """KEYS holds every other client up until it has looked at all of them; SCAN is done in steps."""
    fill = 'for i in $(seq 20000); do echo "SET walked:$i x"; done'
    behind.sh(CACHE, f"{fill} | {ADMIN} --pipe >/dev/null")
    try:
        assert "NOPERM" in as_the_service(behind, "redis KEYS 'walked:*'")
        slow = []
        for _ in range(3):  # on a machine that is busy with other work, any command may wait for a processor so long
            behind.sh(CACHE, f"{ADMIN} SLOWLOG RESET")
            assert len(set(as_the_service(behind, WALK).split())) == 20000
            slow.append(int(behind.sh(CACHE, f"{ADMIN} SLOWLOG LEN").split()[-1]))
        assert min(slow) == 0
    finally:
        behind.sh(CACHE, f"export {LOGIN}; {CLI} --scan --pattern 'walked:*' | xargs -n 1000 {CLI} UNLINK >/dev/null")


@pytest.mark.covers("EV-13")
def test_a_secret_that_differs_on_one_host_is_named_and_not_shown(behind: Stage) -> None:
    """Tokens of one instance would be refused by the others; the file as it stands after a restart by hand."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(VARIABLE, str(behind.identity))
        own = SecretStore.open(secrets_file(behind.project, SYSTEM, "staging")).get("JWT_SECRET_KEY").reveal()
    other = "another-secret-of-more-than-32-characters-0815"
    edit = f"sed -i 's/^JWT_SECRET_KEY=.*/JWT_SECRET_KEY=\"{other}\"/' {ENV}; systemctl restart {UNIT}; sleep 5"
    assert behind.failing("service", APP) == set()
    with behind.broken(APP, edit):
        done = behind.mainstay("verify", behind.target, "--limit", APP, "--json")
    rows = [row for row in json.loads(done.stdout)["checks"] if not row["ok"]]
    assert [(row["host"], row["check"]) for row in rows] == [(APP, AGREE)]
    assert "JWT_SECRET_KEY" in rows[0]["reason"]
    assert own not in done.stdout + done.stderr and other not in done.stdout + done.stderr
    assert behind.failing("service", APP) == set()
