"""What copies the journal to files, what rotates them, and how often that is looked at."""

from __future__ import annotations

from deploys.components.service.files import running_on
from mainstay.files import FileSet, ManagedFile
from mainstay.inventory import Environment, Host
from mainstay.render import render

RSYSLOG = "/etc/rsyslog.conf"
UNITS = ["rsyslog.service", "logrotate.timer"]
# What does not run yet is started when it is configured, and stays stopped where a put-back stops it.
ACTIVATE = (
    f"systemctl daemon-reload && systemctl restart systemd-journald.service && systemctl try-restart {' '.join(UNITS)}"
)


def log_files(env: Environment, host: Host) -> dict[str, str]:
    """The name in the journal (`<system>-<service>`) of each service of the host that has a file, with that file."""
    wanted = env.common.logs.files
    return {f"{env.system}-{s.name}": wanted[s.name] for s in running_on(env, host) if s.name in wanted}


def rotation_path(env: Environment) -> str:
    """logrotate's file for those of the system."""
    return f"/etc/logrotate.d/{env.system}"


def check(env: Environment) -> str:
    """Asks the programs that read them.

    logrotate ignores what it does not understand, says so, and ends with 0. What it finds wrong with files of others is
    not ours; after a put-back there is no file of ours.
    """
    path = rotation_path(env)
    rotation = f"logrotate --debug {path} 2>&1 | {{ ! grep '^error:'; }}"
    return f"rsyslogd -N1 -f {RSYSLOG} && if [ -e {path} ]; then {rotation}; fi"


def copied(env: Environment, host: Host) -> FileSet:
    """All that makes the files; empty where no service of the host has one."""
    found = log_files(env, host)
    if not found:
        return FileSet([])
    logs = env.common.logs
    rotation = render("logs/logrotate.j2", paths=sorted(found.values()), max_size=logs.max_size, keep=logs.keep)
    return FileSet(
        [
            ManagedFile(RSYSLOG, render("logs/rsyslog.conf.j2", files=found)),
            ManagedFile(rotation_path(env), rotation),
            ManagedFile("/etc/systemd/journald.conf.d/mainstay-logs.conf", render("logs/journald.conf.j2")),
            ManagedFile("/etc/systemd/system/logrotate.timer.d/50-mainstay.conf", render("logs/timer.conf.j2")),
        ],
        check=check(env),
        activate=ACTIVATE,
        # The socket is started by rsyslog and would outlive it.
        units=[*UNITS, "syslog.socket"],
    )


def files(env: Environment, host: Host) -> list[ManagedFile]:
    """What `mainstay render` prints."""
    return list(copied(env, host).files)
