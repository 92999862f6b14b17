"""Log files and their folders: there, and readable by those who may read logs."""

from __future__ import annotations

import shlex
from collections.abc import Generator
from pathlib import PurePosixPath

from pyinfra import host
from pyinfra.api import operation

from deploys.operations.files import KIT
from facts.logs import LogOwners
from mainstay import context
from mainstay.plan_notes import note

# As Debian keeps its own: root writes, the group that reads logs reads.
OWNER, GROUP, FOLDER_MODE, FILE_MODE = "root", "adm", "750", "640"
REOPEN = "if systemctl is-active --quiet rsyslog.service; then /usr/lib/rsyslog/rsyslog-rotate; fi"


def wanted(paths: list[str]) -> dict[str, str]:
    """Each folder and file, folders first, with owner, group and mode as `LogOwners` tells them."""
    folders = sorted({str(PurePosixPath(path).parent) for path in paths})
    return {
        **dict.fromkeys(folders, f"{OWNER}:{GROUP} {FOLDER_MODE}"),
        **dict.fromkeys(paths, f"{OWNER}:{GROUP} {FILE_MODE}"),
    }


@operation()
def present(paths: list[str]) -> Generator[str, None, None]:
    """Makes what is missing of the files and their folders, and puts owners and modes right; never touches a line.

    A folder that the run made goes with it when the run is put back. One that was there is not journalled: what was
    logged meanwhile would be lost with its return.
    """
    goal = wanted(paths)
    found = host.get_fact(LogOwners, paths=list(goal))
    differs = {path: state for path, state in goal.items() if found.get(path) != state}
    if not differs:
        host.noop(f"{len(paths)} log files are there")
        return
    run = context.run_id()
    for path, state in differs.items():
        owner, mode = state.split()
        quoted = shlex.quote(path)
        note(path, f"{found[path]} -> {state}" if path in found else "new")
        if path in found:
            yield f"chown -h {owner} {quoted} && chmod {mode} {quoted}"
        elif path in paths:
            yield f"install -m {mode} -o {OWNER} -g {GROUP} /dev/null {quoted}"
        else:
            if run:
                yield shlex.join([f"{KIT}/journal", "save", run, path])
            yield f"install -d -m {mode} -o {OWNER} -g {GROUP} {quoted}"
    if any(path in paths and path not in found for path in differs):
        yield REOPEN
