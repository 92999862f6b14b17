"""The files of the cluster: who may log in, what it listens on, and how it is tuned."""

from __future__ import annotations

from deploys.components.postgres import access, tuning
from deploys.components.postgres.model import CLUSTER, Section, section
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
    """The cluster's own configuration beside Debian's postgresql.conf, which stays as it is and includes `conf.d`."""
    postgres = section(env)
    folder = f"/etc/postgresql/{postgres.major}/{CLUSTER}"
    access_text = render("postgres/40-access.conf.j2", settings=access_settings(postgres, host))
    hba = render("postgres/pg_hba.conf.j2", rules=access.rules(env, postgres))
    ident = render("postgres/pg_ident.conf.j2", map=access.ROOT_MAP, roles=list(postgres.roles))
    tuning_text = render("postgres/50-tuning.conf.j2", host=host, settings=settings(postgres, host))
    unit = f"/etc/systemd/system/{postgres.unit}.d/50-mainstay.conf"
    return [
        _owned(f"{folder}/conf.d/40-access.conf", access_text),
        _owned(f"{folder}/conf.d/50-tuning.conf", tuning_text),
        _owned(f"{folder}/pg_hba.conf", hba, 0o640),
        _owned(f"{folder}/pg_ident.conf", ident, 0o640),
        ManagedFile(unit, render("postgres/unit.conf.j2")),
    ]


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
    return {**access_settings(postgres, host), **tuned}


def settings(postgres: Section, host: Host) -> list[tuning.Setting]:
    """What `50-tuning.conf` holds for the host: computed, with the inventory's own values on top."""
    computed = tuning.tuning(host.memory, host.cores, host.disk, postgres.max_connections, postgres.storage)
    return tuning.overridden(computed, postgres.settings)


def _owned(path: str, text: str, mode: int = 0o644) -> ManagedFile:
    return ManagedFile(path, text, "postgres", "postgres", mode)
