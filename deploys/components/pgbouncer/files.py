"""The files of a pooler: its configuration, and the passwords that it takes and gives."""

from __future__ import annotations

from deploys.components.pgbouncer.model import (
    SPARE_CLIENTS,
    UNIT,
    Section,
    budget,
    max_clients,
    pool_sizes,
    poolers,
    runs_on,
    section,
    users,
)
from deploys.components.postgres import model as cluster
from mainstay.files import ManagedFile
from mainstay.inventory import Environment, Host
from mainstay.render import render
from mainstay.tuning import Setting

CONFIG = "/etc/pgbouncer/pgbouncer.ini"
USERS = "/etc/pgbouncer/userlist.txt"
SOCKETS = "/var/run/postgresql"
OWN_FILES = 200
"""File descriptors beside those of clients and servers: listeners, logs, libraries, PAM."""


def files(env: Environment, host: Host) -> list[ManagedFile]:
    """What `mainstay render` prints; nothing on hosts without a pooler."""
    if not runs_on(env, host):
        return []
    wanted = settings(env, host)
    passwords = {name: env.secrets.get(role.password) for name, role in users(env).items() if role.password}
    config = render("pgbouncer/pgbouncer.ini.j2", databases=databases(env, host), settings=wanted)
    return [
        # PgBouncer runs as the user postgres; nobody else has a use for either.
        ManagedFile(CONFIG, config, "root", "postgres", 0o640),
        ManagedFile(USERS, render("pgbouncer/userlist.txt.j2", passwords=passwords), "root", "postgres", 0o640),
        ManagedFile(
            f"/etc/systemd/system/{UNIT}.d/50-mainstay.conf",
            render("pgbouncer/unit.conf.j2", descriptors=descriptors(env, host)),
        ),
    ]


def descriptors(env: Environment, host: Host) -> int:
    """How many files it may have open: every client and every server connection is one."""
    return max(1024, max_clients(env, host) + sum(pool_sizes(env).values()) + OWN_FILES)


def databases(env: Environment, host: Host) -> dict[str, dict[str, str]]:
    """Where each database is, and how many server connections it gets."""
    own, postgres = section(env), cluster.section(env)
    server = "127.0.0.1" if own.role == "db" else env.hosts_of("db")[0].address
    return {
        name: {
            "host": server,
            "port": str(postgres.port),
            "dbname": name,
            "pool_size": str(size),
            # A pool is a database and a user: without this, two users of a database would have twice as many.
            "max_db_connections": str(size),
        }
        for name, size in pool_sizes(env).items()
    }


def settings(env: Environment, host: Host) -> dict[str, str]:
    """Every setting, written as `SHOW CONFIG` prints it, so that what is in effect can be compared as text."""
    own = section(env)
    return {
        "listen_addr": listen(own, host),
        "listen_port": str(own.port),
        "unix_socket_dir": SOCKETS,
        "auth_type": "scram-sha-256",
        "auth_file": USERS,
        "pool_mode": own.mode,
        "max_client_conn": str(max_clients(env, host)),
        "default_pool_size": "1",
        "server_reset_query": "DISCARD ALL",
        "server_tls_sslmode": "disable" if own.role == "db" else "require",
        "ignore_startup_parameters": "extra_float_digits",
        "logfile": "/var/log/postgresql/pgbouncer.log",
        "pidfile": f"{SOCKETS}/pgbouncer.pid",
        "log_connections": "0",
        "log_disconnections": "0",
        **_client_tls(own),
    }


def tuned(env: Environment, host: Host) -> list[Setting]:
    """What `mainstay db tuning` shows of the host's pooler."""
    if not runs_on(env, host):
        return []
    own, sizes, count = section(env), pool_sizes(env), len(poolers(env))
    parts = f"{count} pooler{'s' if count > 1 else ''}, {len(sizes)} database{'s' if len(sizes) > 1 else ''}"
    share = f"an equal share of {budget(env)} connections: {parts} (DF-13)"
    found = [
        Setting(f"{name}.pool_size", str(size), "pgbouncer.pool_sizes", "inventory", (f"pgbouncer.pool_sizes.{name}",))
        if name in own.pool_sizes
        else Setting(f"{name}.pool_size", str(size), share, of=("postgres.max_connections",))
        for name, size in sizes.items()
    ]
    clients = str(max_clients(env, host))
    if own.max_clients is not None:
        return [
            *found,
            Setting("max_client_conn", clients, "pgbouncer.max_clients", "inventory", ("pgbouncer.max_clients",)),
        ]
    why = f"what services may open here, and {SPARE_CLIENTS} more"
    return [*found, Setting("max_client_conn", clients, why, of=("services",))]


def listen(own: Section, host: Host) -> str:
    """Its addresses: those of the cluster beside it, or loopback for the services beside it."""
    return f"127.0.0.1,{host.address}" if own.role == "db" else "127.0.0.1"


def _client_tls(own: Section) -> dict[str, str]:
    """On the network what PostgreSQL itself offers there: Debian's own pair, which proves nobody's identity."""
    if own.role == "app":
        return {"client_tls_sslmode": "disable"}
    return {
        "client_tls_sslmode": "allow",
        "client_tls_cert_file": "/etc/ssl/certs/ssl-cert-snakeoil.pem",
        "client_tls_key_file": "/etc/ssl/private/ssl-cert-snakeoil.key",
    }
