"""The files of the cluster: who may log in, what it listens on, and how it is tuned."""

from __future__ import annotations

from deploys.components.postgres import access, tuning
from deploys.components.postgres.model import CLUSTER, Section, preloaded, section
from deploys.components.replication import model as replication
from mainstay.files import ManagedFile
from mainstay.inventory import Environment, Host
from mainstay.render import render

TLS = "/etc/mainstay/postgres-tls"
"""Where a host's certificate by the internal CA is, with its key and the CA's own."""
FLOOR = ("max_worker_processes",)
"""Of the settings that a replica may not have lower than its primary (RP-05), those that a host's size decides."""


def files(env: Environment, host: Host) -> list[ManagedFile]:
    """What `mainstay render` prints; nothing where somebody else runs the cluster."""
    postgres = section(env)
    if postgres.managed:
        return []
    if _replica(env, host):
        return [createcluster()]
    return [createcluster(), *configuration(env, host)]


def _replica(env: Environment, host: Host) -> bool:
    """Whether the host follows another: its configuration is then the component replication's to put in place."""
    return replication.declared(env) and "db_replica" in host.roles


def createcluster() -> ManagedFile:
    """Keeps the package from making a cluster of its own, with the encoding of whoever installs it."""
    return ManagedFile(
        "/etc/postgresql-common/createcluster.d/50-mainstay.conf", render("postgres/createcluster.conf.j2")
    )


def configuration(env: Environment, host: Host) -> list[ManagedFile]:
    """The cluster's own configuration, all of it: a line added by hand anywhere is seen."""
    postgres = section(env)
    folder = f"/etc/postgresql/{postgres.major}/{CLUSTER}"
    base = render("postgres/postgresql.conf.j2", settings=places(env))
    access_text = render("postgres/40-access.conf.j2", settings=access_settings(postgres, host))
    hba = render("postgres/pg_hba.conf.j2", rules=access.rules(env, postgres))
    watchers = [name for name, role in postgres.roles.items() if role.kind == "monitor"]
    ident = render("postgres/pg_ident.conf.j2", map=access.ROOT_MAP, roles=list(postgres.roles), watchers=watchers)
    tuning_text = render("postgres/50-tuning.conf.j2", host=host, settings=settings(env, host))
    unit = f"/etc/systemd/system/{postgres.unit}.d/50-mainstay.conf"
    following = follow(env, host)
    extra = [("conf.d/60-replication.conf", render("postgres/60-replication.conf.j2", settings=following))]
    return [
        _owned(f"{folder}/postgresql.conf", base),
        _owned(f"{folder}/conf.d/40-access.conf", access_text),
        _owned(f"{folder}/conf.d/50-tuning.conf", tuning_text),
        _owned(f"{folder}/pg_hba.conf", hba, 0o640),
        _owned(f"{folder}/pg_ident.conf", ident, 0o640),
        ManagedFile(unit, render("postgres/unit.conf.j2")),
        *(_owned(f"{folder}/{name}", text) for name, text in extra if following),
    ]


def follow(env: Environment, host: Host) -> dict[str, str]:
    """What `60-replication.conf` holds: by what a replica follows; nothing elsewhere."""
    if not _replica(env, host):
        return {}
    own, postgres, primary = replication.section(env), section(env), replication.primary(env)
    # By name, so that the certificate must be this host's, and to its address, so that nobody's DNS is asked.
    words = {
        "host": primary.name,
        "hostaddr": primary.address,
        "port": str(postgres.port),
        "user": own.user,
        "passfile": passfile(postgres.major, CLUSTER),
        "sslmode": "verify-full",
        "sslrootcert": f"{TLS}/ca.crt",
        "application_name": host.name,
        "connect_timeout": "10",
    }
    return {
        "primary_conninfo": " ".join(f"{name}={value}" for name, value in words.items()),
        "primary_slot_name": replication.slot(host),
        "hot_standby": "on",
    }


def left_behind(env: Environment) -> list[str]:
    """What a primary that was a replica has no use for any more."""
    if not replication.declared(env):
        return []
    major = section(env).major
    return [f"/etc/postgresql/{major}/{CLUSTER}/conf.d/60-replication.conf", passfile(major, CLUSTER)]


def passfile(major: int, cluster: str) -> str:
    """Where a replica has the password by which it logs in to its primary."""
    return f"/etc/postgresql/{major}/{cluster}/replication.pgpass"


def places(env: Environment) -> dict[str, str]:
    """What `postgresql.conf` holds: Debian's places for a cluster, by which its tools find it, and its log's lines."""
    postgres = section(env)
    # Debian's own self-signed pair hides what is said, and proves nobody's identity.
    certificate, key = "/etc/ssl/certs/ssl-cert-snakeoil.pem", "/etc/ssl/private/ssl-cert-snakeoil.key"
    if replication.declared(env):
        certificate, key = f"{TLS}/server.crt", f"{TLS}/server.key"
    cluster = f"{postgres.major}/{CLUSTER}"
    folder = f"/etc/postgresql/{cluster}"
    return {
        "data_directory": f"/var/lib/postgresql/{cluster}",
        "hba_file": f"{folder}/pg_hba.conf",
        "ident_file": f"{folder}/pg_ident.conf",
        "external_pid_file": f"/var/run/postgresql/{postgres.major}-{CLUSTER}.pid",
        "unix_socket_directories": "/var/run/postgresql",
        "cluster_name": cluster,
        "ssl": "on",
        "ssl_cert_file": certificate,
        "ssl_key_file": key,
        "log_line_prefix": "%m [%p] %q%u@%d ",
        "log_timezone": "Etc/UTC",
        "timezone": "Etc/UTC",
        "lc_messages": "C.UTF-8",
    }


def access_settings(postgres: Section, host: Host) -> dict[str, str]:
    """What `40-access.conf` holds: where the cluster listens, and how passwords are kept."""
    return {
        "listen_addresses": f"localhost,{host.address}",
        "port": str(postgres.port),
        "password_encryption": "scram-sha-256",
    }


def in_effect(env: Environment, host: Host) -> dict[str, str]:
    """Every setting that the component writes, by name: what pg_settings should show."""
    postgres = section(env)
    tuned = {setting.name: setting.value for setting in settings(env, host)}
    return {**places(env), **access_settings(postgres, host), **tuned, **follow(env, host)}


def settings(env: Environment, host: Host) -> list[tuning.Setting]:
    """What `50-tuning.conf` holds for the host: computed, with the inventory's own values on top."""
    postgres = section(env)
    computed = tuning.tuning(host.memory, host.cores, host.disk, postgres.max_connections, postgres.storage)
    if replication.declared(env):
        computed.append(tuning.kept_for_slots(host.disk))
    if _replica(env, host):
        primary = replication.primary(env)
        theirs = tuning.tuning(primary.memory, primary.cores, primary.disk, postgres.max_connections, postgres.storage)
        computed = tuning.at_least(computed, theirs, FLOOR, primary.name)
    return tuning.overridden([*computed, *_preload(postgres)], postgres.settings)


def _preload(postgres: Section) -> list[tuning.Setting]:
    libraries = preloaded(postgres)
    if not libraries:
        return []
    why = f"extensions of databases: {', '.join(libraries)}"
    of = ("postgres.databases",)
    return [tuning.Setting("shared_preload_libraries", ",".join(libraries), why, "inventory", of)]


def tuned(env: Environment, host: Host) -> list[tuning.Setting]:
    """What `mainstay db tuning` shows for the host; nothing where somebody else runs the cluster."""
    postgres = section(env)
    return [] if postgres.managed else settings(env, host)


def _owned(path: str, text: str, mode: int = 0o644) -> ManagedFile:
    return ManagedFile(path, text, "postgres", "postgres", mode)
