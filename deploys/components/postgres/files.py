"""The files of the cluster: who may log in, what it listens on, and how it is tuned."""

from __future__ import annotations

from deploys.components.postgres import access, tuning
from deploys.components.postgres.model import CLUSTER, Section, preloaded, section
from mainstay.files import ManagedFile
from mainstay.inventory import Environment, Host
from mainstay.render import render


def files(env: Environment, host: Host) -> list[ManagedFile]:
    """What `mainstay render` prints; nothing where somebody else runs the cluster."""
    postgres = section(env)
    if postgres.managed:
        return []
    return [createcluster(), *configuration(env, host)]


def createcluster() -> ManagedFile:
    """Keeps the package from making a cluster of its own, with the encoding of whoever installs it."""
    return ManagedFile(
        "/etc/postgresql-common/createcluster.d/50-mainstay.conf", render("postgres/createcluster.conf.j2")
    )


def configuration(env: Environment, host: Host) -> list[ManagedFile]:
    """The cluster's own configuration, all of it: a line added by hand anywhere is seen."""
    postgres = section(env)
    folder = f"/etc/postgresql/{postgres.major}/{CLUSTER}"
    base = render("postgres/postgresql.conf.j2", settings=places(postgres))
    access_text = render("postgres/40-access.conf.j2", settings=access_settings(postgres, host))
    hba = render("postgres/pg_hba.conf.j2", rules=access.rules(env, postgres))
    watchers = [name for name, role in postgres.roles.items() if role.kind == "monitor"]
    ident = render("postgres/pg_ident.conf.j2", map=access.ROOT_MAP, roles=list(postgres.roles), watchers=watchers)
    tuning_text = render("postgres/50-tuning.conf.j2", host=host, settings=settings(postgres, host))
    unit = f"/etc/systemd/system/{postgres.unit}.d/50-mainstay.conf"
    return [
        _owned(f"{folder}/postgresql.conf", base),
        _owned(f"{folder}/conf.d/40-access.conf", access_text),
        _owned(f"{folder}/conf.d/50-tuning.conf", tuning_text),
        _owned(f"{folder}/pg_hba.conf", hba, 0o640),
        _owned(f"{folder}/pg_ident.conf", ident, 0o640),
        ManagedFile(unit, render("postgres/unit.conf.j2")),
    ]


def places(postgres: Section) -> dict[str, str]:
    """What `postgresql.conf` holds: Debian's places for a cluster, by which its tools find it, and its log's lines."""
    cluster = f"{postgres.major}/{CLUSTER}"
    folder = f"/etc/postgresql/{cluster}"
    return {
        "data_directory": f"/var/lib/postgresql/{cluster}",
        "hba_file": f"{folder}/pg_hba.conf",
        "ident_file": f"{folder}/pg_ident.conf",
        "external_pid_file": f"/var/run/postgresql/{postgres.major}-{CLUSTER}.pid",
        "unix_socket_directories": "/var/run/postgresql",
        "cluster_name": cluster,
        # Debian's own self-signed pair: it hides what is said, and proves nobody's identity.
        "ssl": "on",
        "ssl_cert_file": "/etc/ssl/certs/ssl-cert-snakeoil.pem",
        "ssl_key_file": "/etc/ssl/private/ssl-cert-snakeoil.key",
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
    tuned = {setting.name: setting.value for setting in settings(postgres, host)}
    return {**places(postgres), **access_settings(postgres, host), **tuned}


def settings(postgres: Section, host: Host) -> list[tuning.Setting]:
    """What `50-tuning.conf` holds for the host: computed, with the inventory's own values on top."""
    computed = tuning.tuning(host.memory, host.cores, host.disk, postgres.max_connections, postgres.storage)
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
    return [] if postgres.managed else settings(postgres, host)


def _owned(path: str, text: str, mode: int = 0o644) -> ManagedFile:
    return ManagedFile(path, text, "postgres", "postgres", mode)
