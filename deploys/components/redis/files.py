"""The files of the server: its configuration, its users, and the password by which it is administered."""

from __future__ import annotations

from deploys.components.redis.model import ADMIN, UNIT, Section, section
from mainstay.files import ManagedFile
from mainstay.inventory import Environment, Host
from mainstay.render import render

CONFIG = "/etc/redis/redis.conf"
USERS = "/etc/redis/users.acl"
PASSWORD = "/etc/mainstay/redis.password"  # noqa: S105  a path; beyond what the redis user may write

SAVE_POINTS = "3600 1 300 100 60 10000"
"""Redis's own: after 1 change in an hour, 100 in 5 minutes, 10000 in a minute."""


def files(env: Environment, host: Host) -> list[ManagedFile]:
    """What `mainstay render` prints; nothing where somebody else runs the server."""
    redis = section(env)
    if redis.managed:
        return []
    config = render("redis/redis.conf.j2", settings=settings(redis, host))
    users = render("redis/users.acl.j2", lines=[user_line(env, name) for name in redis.users], admin=_admin_line(env))
    return [
        ManagedFile(CONFIG, config, "root", "redis", 0o640),
        ManagedFile(USERS, users, "root", "redis", 0o640),
        ManagedFile(PASSWORD, f"{env.secrets.get(redis.admin_password)}\n", "root", "root", 0o600),
        ManagedFile(f"/etc/systemd/system/{UNIT}.d/50-mainstay.conf", render("redis/unit.conf.j2")),
    ]


def settings(redis: Section, host: Host) -> dict[str, str]:
    """Every setting, written as `CONFIG GET` prints it, so that what is in effect can be compared as text."""
    rdb, aof = redis.persistence == "rdb", redis.persistence == "aof"
    return {
        "bind": f"127.0.0.1 {host.address}",
        "protected-mode": "yes",
        "port": str(redis.port),
        "tcp-keepalive": "300",
        "timeout": "0",
        "databases": str(redis.databases),
        "maxclients": str(redis.maxclients),
        "maxmemory": str(redis.maxmemory),
        "maxmemory-policy": redis.policy,
        "save": SAVE_POINTS if rdb else "",
        "appendonly": "yes" if aof else "no",
        "appendfsync": "everysec",
        "dir": "/var/lib/redis",
        "logfile": "/var/log/redis/redis-server.log",
        "loglevel": "notice",
        "slowlog-log-slower-than": "10000",
        "aclfile": USERS,
    }


def user_line(env: Environment, name: str) -> str:
    """One line of the ACL file; the password stands there as its SHA-256 only."""
    user = section(env).users[name]
    keys = " ".join(f"~{pattern}" for pattern in user.keys)
    channels = " ".join(["resetchannels", *(f"&{pattern}" for pattern in user.channels)])
    return f"user {name} on #{_sha256(env, user.password)} {keys} {channels} -@all {' '.join(user.rules)}"


def _admin_line(env: Environment) -> str:
    return f"user {ADMIN} on #{_sha256(env, section(env).admin_password)} ~* &* +@all"


def _sha256(env: Environment, name: str) -> str:
    return env.secrets.get(name).sha256
