"""The files of every host, in the sets that count together."""

from __future__ import annotations

from deploys.components.base.firewall import openings
from deploys.components.base.model import section
from deploys.operations.deadman import DEADMAN_S
from mainstay.files import FileSet, ManagedFile
from mainstay.inventory import Environment, Host
from mainstay.render import render

GROUP = "operators"
KEYS_FOLDER = "/etc/ssh/authorized_keys.d"


def access(env: Environment, host: Host) -> FileSet:
    """Keys, sudo and sshd: one step, because AllowGroups must never count without the other two."""
    sshd = section(env).sshd
    settings = {
        "port": host.ssh_port,
        "group": GROUP,
        "keys_folder": KEYS_FOLDER,
        "max_auth_tries": sshd.max_auth_tries,
        "client_alive_s": int(sshd.client_alive),
    }
    keys = [
        ManagedFile(f"{KEYS_FOLDER}/{name}", "".join(f"{key}\n" for key in operator.keys))
        for name, operator in sorted(env.operators.items())
    ]
    return FileSet(
        [
            *keys,
            ManagedFile("/etc/sudoers.d/mainstay", render("base/sudoers.j2", group=GROUP), mode=0o440),
            ManagedFile("/etc/ssh/sshd_config.d/00-mainstay.conf", render("base/sshd.conf.j2", **settings)),
        ],
        only=[KEYS_FOLDER],
        check="visudo -cq && sshd -t",
        activate="systemctl reload ssh",
        deadman=DEADMAN_S,
    )


def firewall(env: Environment, host: Host) -> FileSet:
    """Inbound: closed but for what listens on the host by the inventory."""
    rules = [rule for opening in openings(env, host) for rule in opening.rules]
    return FileSet(
        [ManagedFile("/etc/nftables.conf", render("base/nftables.conf.j2", rules=rules), mode=0o755)],
        check="nft -c -f /etc/nftables.conf",
        activate="nft -f /etc/nftables.conf",
        in_effect="nft list chain inet mainstay input",
        deadman=DEADMAN_S,
    )


def logs(env: Environment) -> FileSet:
    """How much of the journal is kept."""
    journald = section(env).journald
    values = {"max_use": journald.max_use, "max_retention_s": int(journald.max_retention)}
    return FileSet(
        [ManagedFile("/etc/systemd/journald.conf.d/mainstay.conf", render("base/journald.conf.j2", **values))],
        activate="systemctl restart systemd-journald",
    )


def clock(env: Environment) -> FileSet:
    """Where the time comes from (EV-14)."""
    text = render("base/chrony.conf.j2", pools=section(env).chrony.pools, near=bool(env.lab))
    found = [ManagedFile("/etc/chrony/chrony.conf", text)]
    if env.lab:
        observe = "/etc/systemd/system/chrony.service.d/mainstay-lab.conf"
        found.append(ManagedFile(observe, render("base/chrony-observe.conf.j2")))
    return FileSet(
        found,
        check="chronyd -p -f /etc/chrony/chrony.conf >/dev/null",
        activate="systemctl daemon-reload && systemctl restart chrony",
        units=["chrony.service"],
    )


def upgrades(env: Environment) -> FileSet:
    """Security updates, day by day; apt reads these when it runs."""
    values = section(env).upgrades.model_dump()
    return FileSet([ManagedFile("/etc/apt/apt.conf.d/52mainstay-upgrades", render("base/upgrades.conf.j2", **values))])


def files(env: Environment, host: Host) -> list[ManagedFile]:
    """Every file that base manages on the host."""
    sets = [access(env, host), firewall(env, host), logs(env), clock(env), upgrades(env)]
    return [managed for one in sets for managed in one.files]
