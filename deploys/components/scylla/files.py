"""The files of a node: where its packages come from, its configuration, its admin's password, its turn to repair."""

from __future__ import annotations

from deploys.components.scylla import sizing
from deploys.components.scylla.model import key_path
from deploys.components.scylla.section import ADMIN, GC_GRACE_S, REPAIR_UNIT, UNIT, Section, section
from deploys.operations.files import KIT
from mainstay.files import ManagedFile
from mainstay.inventory import Environment, Host
from mainstay.render import render

KEYRING = "/etc/apt/keyrings/scylla.asc"
CONFIG = "/etc/scylla/scylla.yaml"
CREDENTIALS = "/etc/mainstay/scylla.credentials"
CONTROL = "/etc/mainstay/scylla.conf"
PACKAGES = ("scylla-server", "scylla-conf", "scylla-kernel-conf", "scylla-cqlsh")
"""Without the metapackage: it brings an exporter that wants the port of Debian's own."""


def files(env: Environment, host: Host) -> list[ManagedFile]:
    """What `mainstay render` prints."""
    return [*source(env), *configuration(env, host), *upkeep(env, host)]


def source(env: Environment) -> list[ManagedFile]:
    """Where apt finds the packages, the one key that signs them, and the one version; nothing where nobody says."""
    own = section(env)
    path = key_path(env, own)
    if own.source is None or path is None:
        return []
    sources = render("scylla/apt.sources.j2", source=own.source, key=KEYRING)
    pin = render("scylla/apt.preferences.j2", version=own.version)
    return [
        ManagedFile(KEYRING, path.read_text(encoding="ascii")),
        ManagedFile("/etc/apt/sources.list.d/scylla.sources", sources),
        ManagedFile("/etc/apt/preferences.d/scylla", pin),
    ]


def configuration(env: Environment, host: Host) -> list[ManagedFile]:
    """What the server reads when it starts."""
    own = section(env)
    there = sizing.place(own, host)
    seeds = ",".join(seed.address for seed in sizing.seeds(env, own))
    config = render("scylla/scylla.yaml.j2", own=own, host=host, seeds=seeds, replaces=own.replaces.get(host.name))
    memory = f"{sizing.memory(host) >> 20}M"
    developer = int(own.developer_mode)
    return [
        ManagedFile(CONFIG, config),
        ManagedFile("/etc/scylla/cassandra-rackdc.properties", render("scylla/rackdc.j2", place=there)),
        ManagedFile(
            "/etc/scylla.d/memory.conf", render("scylla/option.j2", name="MEM_CONF", value=f"--memory {memory}")
        ),
        ManagedFile(
            "/etc/scylla.d/cpuset.conf", render("scylla/option.j2", name="CPUSET", value=f"--smp {sizing.cores(host)}")
        ),
        ManagedFile(
            "/etc/scylla.d/dev-mode.conf",
            render("scylla/option.j2", name="DEV_MODE", value=f"--developer-mode={developer}"),
        ),
        ManagedFile("/etc/scylla.d/housekeeping.cfg", render("scylla/housekeeping.j2")),
        ManagedFile(f"/etc/systemd/system/{UNIT}.d/50-mainstay.conf", render("scylla/unit.conf.j2")),
    ]


def upkeep(env: Environment, host: Host) -> list[ManagedFile]:
    """What the host's own script reads, and the timer by which it repairs."""
    own = section(env)
    turn = sizing.turns_of(env, own)[host.name]
    credentials = render("scylla/credentials.j2", user=ADMIN, password=env.secrets.get(own.admin_password))
    service = render("scylla/repair.service.j2", kit=KIT, seconds=turn.most_minutes * 60)
    return [
        ManagedFile(CREDENTIALS, credentials, mode=0o600),
        ManagedFile(CONTROL, _control(env, own, host)),
        ManagedFile(f"/etc/systemd/system/{REPAIR_UNIT}.service", service),
        ManagedFile(f"/etc/systemd/system/{REPAIR_UNIT}.timer", render("scylla/repair.timer.j2", turn=turn)),
    ]


def _control(env: Environment, own: Section, host: Host) -> str:
    nodes = sizing.nodes(env)
    before = nodes[: nodes.index(host)]
    return render(
        "scylla/control.conf.j2",
        address=host.address,
        cql_port=own.cql_port,
        before=[node.address for node in before],
        others=[node.address for node in nodes if node is not host],
        replacing=host.name in own.replaces,
        keyspaces=list(own.keyspaces),
        keep_days=int(own.keep_snapshots // 86400),
        grace_s=GC_GRACE_S,
        developer=own.developer_mode,
    )
