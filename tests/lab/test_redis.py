"""Redis on real hosts: from bare to converged, live changes, restarts that lose nothing, every check seen to fail."""

from __future__ import annotations

import shlex

import pytest

from mainstay.inventory.stores import secrets_file
from mainstay.secrets import SecretStore
from tests.lab.bench import ROOT, Bench

CACHE, APP, WEB = "eai-stg-cache-1", "eai-stg-app-1", "eai-stg-web-1"
UNIT = "redis-server.service"
ETC = "/etc/redis"
STOPPED_MEANS = {
    "the server runs and starts at boot",
    "settings are in effect",
    "memory has a limit and is within it",
    "clients are within their limit",
    "data is written",
    "listens on loopback and the private address only",
    "who does not log in gets no answer",
    "users are those of the inventory",
    "users may not block wipe or read what is not theirs",
}


def admin(bench: Bench, *words: str) -> str:
    """What the server answers to its admin."""
    cli = f"redis-cli --user mainstay --no-auth-warning --raw {shlex.join(words)}"
    return bench.sh(CACHE, f'REDISCLI_AUTH="$(cat /etc/mainstay/redis.password)" {cli}').strip()


def started(bench: Bench) -> str:
    return bench.sh(CACHE, f"systemctl show -p ExecMainStartTimestampMonotonic --value {UNIT}").strip()


@pytest.fixture(scope="module")
def cache(bench: Bench) -> Bench:
    """The cache host, converged from bare by one apply; the app host has its operators."""
    bench.apply(APP)  # for its operators: what else it needs is no concern here
    bench.converged(CACHE)
    return bench


@pytest.mark.covers("RD-15", "DF-78")
def test_a_converged_host_passes_every_check(cache: Bench) -> None:
    """The app host's own: its service's user gets PONG, and NOPERM for KEYS."""
    assert cache.failing("redis", CACHE, APP) == set()


@pytest.mark.covers("RD-04")
def test_clients_are_counted(cache: Bench) -> None:
    def clients() -> int:
        lines = dict(line.split(":", 1) for line in admin(cache, "INFO", "clients").splitlines() if ":" in line)
        return int(lines["connected_clients"])

    before = clients()
    hold = "for i in 1 2 3; do (exec 3<>/dev/tcp/127.0.0.1/6379; sleep 20) & done; sleep 20"
    cache.sh(CACHE, f"systemd-run --quiet --unit=held bash -c {shlex.quote(hold)}; sleep 1")
    try:
        assert clients() == before + 3
    finally:
        cache.sh(CACHE, "systemctl stop held.service")


def test_drift_is_seen_and_brought_back_without_a_restart(cache: Bench) -> None:
    before = started(cache)
    admin(cache, "CONFIG", "SET", "maxmemory", "0")
    admin(cache, "ACL", "SETUSER", "everydayai", "+keys")
    cache.sh(CACHE, f"sed -i s/noeviction/allkeys-lru/ {ETC}/redis.conf; chmod 666 {ETC}/users.acl")
    text = str(cache.plan(CACHE)["changes"])
    assert "0 in effect, 268435456 wanted" in text and "other than those of /etc/redis/users.acl" in text
    assert "-maxmemory-policy allkeys-lru" in text and "root:redis 666 -> root:redis 640" in text
    cache.converged(CACHE)
    assert cache.failing("redis", CACHE) == set()
    assert started(cache) == before


def test_a_change_is_applied_live_and_loses_nothing(cache: Bench) -> None:
    before = started(cache)
    admin(cache, "SET", "kept", "1")
    smaller = cache.edited("system.yaml", "maxmemory: 256mb", "maxmemory: 200mb")
    with smaller, cache.edited("system.yaml", "persistence: aof", "persistence: rdb"):
        cache.converged(CACHE)
        assert admin(cache, "CONFIG", "GET", "save").splitlines()[1:] == ["3600 1 300 100 60 10000"]
        assert cache.failing("redis", CACHE) == set()
    cache.converged(CACHE)
    assert admin(cache, "GET", "kept") == "1"
    assert started(cache) == before


@pytest.mark.covers("DF-80", "RD-10")
def test_a_restart_keeps_the_data_and_is_refused_where_it_would_not(cache: Bench) -> None:
    """The number of databases cannot be set live."""
    admin(cache, "SET", "kept", "1")
    before, keys = started(cache), admin(cache, "DBSIZE")
    more = ("system.yaml", "port: 6379                                    # seed", "port: 6379\n  databases: 20 # seed")
    with cache.edited(*more):
        cache.converged(CACHE)
        assert started(cache) != before and admin(cache, "GET", "kept") == "1"
        assert admin(cache, "DBSIZE") == keys
        with cache.edited("system.yaml", "persistence: aof", "persistence: none"):
            cache.converged(CACHE)
            before = started(cache)
            with cache.edited("system.yaml", "databases: 20", "databases: 24"):
                outcome = cache.apply(CACHE)
                assert not outcome["ok"] and "a restart without persistence loses the data" in outcome["reason"]
                assert started(cache) == before and admin(cache, "GET", "kept") == "1"
                assert "databases 20" in cache.sh(CACHE, f"cat {ETC}/redis.conf")
                with cache.edited("staging.yaml", "postgres:\n", "redis: {allow_restart: true}\npostgres:\n"):
                    cache.converged(CACHE)
                    assert started(cache) != before and admin(cache, "CONFIG", "GET", "databases").endswith("24")
    cache.converged(CACHE)
    cache.sh(CACHE, f"systemctl restart {UNIT}")
    left = cache.plan(CACHE)
    assert left["ok"] and not left["changes"], "a start alone changes nothing"
    assert cache.failing("redis", CACHE) == set()


@pytest.mark.parametrize(
    ("file", "old", "new", "reason"),
    [
        ("redis.conf.j2", "{% for", "no-such-directive 1\n{% for", "Bad directive or wrong number of arguments"),
        ("redis.conf.j2", "{% for", "maxmemory-samples lots\n{% for", "argument couldn't be parsed into an integer"),
        ("users.acl.j2", "{{ admin }}", "{{ admin }}\nuser x on +nosuch", "Unknown command or category name in ACL"),
    ],
)
def test_what_redis_refuses_never_counts(cache: Bench, file: str, old: str, new: str, reason: str) -> None:
    """An operator's own template, laid over the bundled one, with a mistake in it."""
    own = cache.project / "templates" / "redis" / file
    own.parent.mkdir(parents=True, exist_ok=True)
    bundled = ROOT / "templates" / "redis" / file
    before, since = cache.sh(CACHE, f"sha256sum {ETC}/*; stat -c '%U %a' {ETC}/*"), started(cache)
    own.write_text(bundled.read_text().replace(old, new, 1))
    try:
        outcome = cache.apply(CACHE)
    finally:
        own.unlink()
    assert not outcome["ok"] and reason in outcome["reason"], outcome["reason"]
    assert cache.sh(CACHE, f"sha256sum {ETC}/*; stat -c '%U %a' {ETC}/*") == before
    assert started(cache) == since
    assert cache.failing("redis", CACHE) == set()


def test_rotated_passwords_count_at_once_and_stay_out_of_sight(cache: Bench) -> None:
    store = SecretStore.open(secrets_file(cache.project, "everydayai", "staging"))
    since, planted = started(cache), "planted-7ab21c90-password"
    watch = "for i in $(seq 400); do cat /proc/[0-9]*/cmdline 2>/dev/null | tr '\\0' ' '; sleep 0.01; done > /tmp/argv"
    cache.sh(CACHE, f"systemd-run --quiet --unit=argv-watch bash -c {shlex.quote(watch)}")
    store.update({"REDIS_ADMIN_PASSWORD": f"{planted}-admin", "REDIS_APP_PASSWORD": f"{planted}-app"})
    cache.converged(CACHE)
    assert cache.failing("redis", CACHE) == set()
    assert started(cache) == since
    seen = cache.sh(CACHE, "cat /tmp/argv; journalctl --no-pager -o cat; cat /var/log/redis/*.log")
    assert "redis-cli" in seen, "the watch saw no redis-cli, so it proves nothing"
    assert planted not in seen


PLANTED = "planted-2c9d51e7-password"
BREAKS: dict[str, tuple[str, str, set[str]]] = {
    "memory": (
        "CONFIG SET maxmemory 0",
        "CONFIG SET maxmemory 268435456",
        {"settings are in effect", "memory has a limit and is within it"},
    ),
    "policy": (
        "CONFIG SET maxmemory-policy allkeys-lru",
        "CONFIG SET maxmemory-policy noeviction",
        {"settings are in effect"},
    ),
    "persistence": (
        "CONFIG SET appendonly no",
        "CONFIG SET appendonly yes",
        {"settings are in effect", "data is written"},
    ),
    "clients": (
        "CONFIG SET maxclients 500",
        "CONFIG SET maxclients 1000",
        {"settings are in effect", "clients are within their limit"},
    ),
    "default user": (
        "ACL SETUSER default on nopass +ping",
        "ACL LOAD",
        {"who does not log in gets no answer", "users are those of the inventory"},
    ),
    "a user that may list keys": (
        "ACL SETUSER everydayai +keys",
        "ACL LOAD",
        {"users are those of the inventory", "users may not block wipe or read what is not theirs"},
    ),
    "a command that nobody denies by name": (
        "ACL SETUSER everydayai +swapdb",
        "ACL LOAD",
        {"users are those of the inventory"},
    ),
    "a second password": (
        f"ACL SETUSER everydayai >{PLANTED}",
        "ACL LOAD",
        {"users are those of the inventory"},
    ),
    "channels of everybody": ("ACL SETUSER everydayai &*", "ACL LOAD", {"users are those of the inventory"}),
    "a selector": ("ACL SETUSER everydayai (+get ~secret)", "ACL LOAD", {"users are those of the inventory"}),
    "a user of nobody": ("ACL SETUSER mallory on nopass", "ACL DELUSER mallory", {"users are those of the inventory"}),
    "an open address": (
        "CONFIG SET bind *",
        "",
        {"settings are in effect", "listens on loopback and the private address only"},
    ),
}


@pytest.mark.parametrize("name", BREAKS)
def test_a_broken_server_fails_its_checks_and_no_other(cache: Bench, name: str) -> None:
    broken, mended, checks = BREAKS[name]
    address = cache.environment.hosts[CACHE].address
    admin(cache, *broken.split())
    try:
        assert cache.failing("redis", CACHE) == checks
    finally:
        admin(cache, *(mended.split() or ["CONFIG", "SET", "bind", f"127.0.0.1 {address}"]))


def test_users_that_somebody_else_has_brought_are_proven_too(cache: Bench) -> None:
    """Without a record of what the server listed at first, as on a host that Ansible has brought here."""
    cache.sh(CACHE, "rm /var/lib/mainstay/redis/users")
    assert cache.failing("redis", CACHE) == set()
    admin(cache, "ACL", "SETUSER", "everydayai", "+swapdb")
    assert cache.failing("redis", CACHE) == {"users are those of the inventory"}
    assert (
        cache.sh(CACHE, "ls -d /tmp/redis-check.* 2>/dev/null; pgrep -fc 'redis-server.*redis-chec[k]' || true")
        == "0\n"
    )
    cache.converged(CACHE)


@pytest.mark.covers("DF-78")
def test_keys_of_others_and_second_passwords_are_seen_and_no_hash_is_told(cache: Bench) -> None:
    """Of a user that has keys of its own; an apply brings back what ACL SETUSER did."""
    ours, theirs = "users are those of the inventory", "users may not block wipe or read what is not theirs"
    with cache.edited("system.yaml", "'+info'], keys: ['*']", "'+info'], keys: ['everydayai:*']"):
        cache.converged(CACHE)
        assert cache.failing("redis", CACHE, APP) == set()
        admin(cache, "ACL", "SETUSER", "everydayai", "~*")
        said = cache.failures("redis", CACHE)
        assert said.keys() == {ours, theirs}
        assert said[ours].endswith("everydayai has ~* beside the inventory's; everydayai lacks ~everydayai:*")
        assert said[theirs].endswith("may: everydayai GET mainstay-key-of-nobody")
        cache.converged(CACHE)
        admin(cache, "ACL", "SETUSER", "everydayai", f">{PLANTED}")
        said = cache.failures("redis", CACHE)
        assert said.keys() == {ours} and said[ours].endswith("everydayai has a password beside the inventory's"), said
        cache.converged(CACHE)
        assert cache.failing("redis", CACHE) == set()
    cache.converged(CACHE)


FROM_APP, FROM_WEB = "users log in from here and cannot block or wipe", "the server cannot be reached from here"


def test_a_user_who_may_block_or_may_nothing_is_seen_from_the_app_host(cache: Bench) -> None:
    try:
        for rule in ("+keys", "-ping"):
            admin(cache, "ACL", "SETUSER", "everydayai", rule)
            assert cache.failing("redis", APP) == {FROM_APP}
            admin(cache, "ACL", "LOAD")
        assert cache.failing("redis", APP) == set()
    finally:
        admin(cache, "ACL", "LOAD")


def test_a_server_that_a_web_host_reaches_is_seen_there(cache: Bench) -> None:
    cache.apply(WEB)  # for its operators
    assert cache.failing("redis", WEB) == set()
    cache.sh(CACHE, "nft insert rule inet mainstay input tcp dport 6379 accept")
    try:
        assert cache.failing("redis", WEB) == {FROM_WEB}
    finally:
        cache.sh(CACHE, "nft -f /etc/nftables.conf")


def test_a_readable_password_fails_its_check(cache: Bench) -> None:
    cache.sh(CACHE, "chmod 644 /etc/mainstay/redis.password")
    try:
        assert cache.failing("redis", CACHE) == {"files are readable by those who need them only"}
    finally:
        cache.sh(CACHE, "chmod 600 /etc/mainstay/redis.password")


@pytest.mark.covers("HC-04")
def test_a_stopped_server_is_seen_and_started(cache: Bench) -> None:
    cache.sh(CACHE, f"systemctl stop {UNIT}")
    try:
        assert cache.failing("redis", CACHE) == STOPPED_MEANS
    finally:
        cache.converged(CACHE)


def test_a_server_that_does_not_start_at_boot_is_seen(cache: Bench) -> None:
    cache.sh(CACHE, f"systemctl disable --quiet {UNIT}")
    try:
        assert cache.failing("redis", CACHE) == {"the server runs and starts at boot"}
    finally:
        cache.converged(CACHE)


def test_nothing_is_left_of_all_this(cache: Bench) -> None:
    assert not cache.plan(CACHE)["changes"]
    assert cache.failing("redis", CACHE) == set()
