"""What no exporter tells of services: how often their logs match the inventory's patterns, what their units use.

A script of the host's own reads the journal and the control groups, again and again, for the node exporter.
"""

from __future__ import annotations

import json
import shlex

from deploys.components.monitoring.exporters import TEXTFILES
from deploys.components.monitoring.section import section
from deploys.components.service.files import running_on
from deploys.operations.files import KIT
from mainstay.files import FileSet, ManagedFile
from mainstay.inventory import Environment, Host
from mainstay.render import render

UNIT = "mainstay-service-measures.service"
SCRIPT = f"{KIT}/service-measures"
WANTED = "/etc/mainstay/service-measures.json"
FOUND = f"{TEXTFILES}/service-measures.prom"

LOGGED = "log_pattern_total"
CPU = "mainstay_unit_cpu_seconds_total"
MEMORY = "mainstay_unit_memory_working_set_bytes"
MEMORY_MAX = "mainstay_unit_memory_max_bytes"

_PATH = f"/etc/systemd/system/{UNIT}"
# What is not wanted any more ends, and its measurements with it: they would stand still for ever.
_ACTIVATE = (
    f"systemctl daemon-reload; if [ -e {_PATH} ]; then systemctl try-restart {UNIT}; "
    f"else systemctl stop {UNIT} 2>/dev/null || true; rm -f {shlex.quote(FOUND)}; fi"
)


def has_processes(env: Environment) -> bool:
    """Whether any service has processes, released yet or not."""
    return any(service.kind != "static" for service in env.services.values())


def looks(env: Environment) -> bool:
    """Whether anything is looked for in the log of any service (LG-11)."""
    return bool(env.common.logs.patterns) and has_processes(env)


def measured(env: Environment, host: Host) -> bool:
    """Whether the host runs anything of which there is something to tell."""
    return bool(running_on(env, host))


def files(env: Environment, host: Host) -> list[ManagedFile]:
    """Of which services, what is looked for in their logs, and how often; empty where the host runs none."""
    # The name of each in the journal is its unit's.
    services = {service.name: f"{env.system}-{service.name}" for service in running_on(env, host)}
    if not services:
        return []
    text = json.dumps({"services": services, "patterns": env.common.logs.patterns}, indent=2, ensure_ascii=False)
    words = {"kit": KIT, "wanted": WANTED, "found": FOUND, "seconds": f"{section(env).interval:g}"}
    unit = render("monitoring/service-measures.service.j2", **words, writes=TEXTFILES, sees_host=False)
    return [ManagedFile(WANTED, f"{text}\n"), ManagedFile(_PATH, unit)]


def step(env: Environment, host: Host) -> FileSet:
    """The same as one step, which takes it all away where the host runs no service any more."""
    wanted = files(env, host)
    gone = [] if wanted else [WANTED, _PATH]
    # After a put-back there may be nothing to look at.
    check = f"if [ -e {WANTED} ]; then {SCRIPT} {WANTED}; fi"
    return FileSet(wanted, remove=gone, check=check, activate=_ACTIVATE, units=[UNIT])


def oldest_s(env: Environment) -> float:
    """Seconds after which what was found is too old: a few looks, each of which may wait for a busy machine."""
    return max(60.0, 4 * section(env).interval)


def label(pattern: str) -> str:
    """The pattern as the value of a label, between quotes."""
    return pattern.replace("\\", "\\\\").replace('"', '\\"')
