"""Files of a component, put in place, checked and activated as one step."""

from __future__ import annotations

import base64
import dataclasses
import shlex
from collections.abc import Generator
from typing import Any

from pyinfra import host
from pyinfra.api import FunctionCommand, StringCommand, operation
from pyinfra.facts.files import Directory

from deploys.operations import deadman
from facts.files import FileStates, FileText, InEffect
from mainstay import context
from mainstay.files import FileSet, ManagedFile
from mainstay.plan_notes import note, unified_diff

KIT = "/usr/local/lib/mainstay"


def fed(script: str, archive: bytes) -> StringCommand:
    """The command that runs one of the host's own scripts for the run at hand, with an archive on standard input."""
    run = shlex.quote(context.run_id() or "-")
    return StringCommand(f"base64 -d | {KIT}/{script} {run}", _stdin=base64.encodebytes(archive).decode())


@operation()
def installed(wanted: FileSet) -> Generator[Any, None, None]:
    """Brings every file of `wanted` to its content, owner and mode; all of them, or none.

    A set that only removes, or whose files are as they should be, is no change. Where `wanted.deadman` is set, the
    step is confirmed over a new connection before it counts as done.
    """
    resolve = context.current_environment().secrets.resolve
    paths = [managed.path for managed in wanted.files]  # in one order in every process: what is asked is remembered
    states = host.get_fact(FileStates, paths=[*paths, *wanted.remove], folders=list(wanted.only))
    changed = [f for f in wanted.files if not _stands(f, states.get(f.path), f.digest(resolve))]
    gone = [path for path in states if path not in paths]
    idle = bool(wanted.in_effect) and not host.get_fact(InEffect, question=wanted.in_effect)
    if not changed and not gone and not idle:
        host.noop(f"{len(paths)} files are as they should be")
        return
    for managed in changed:
        _note_change(managed, states.get(managed.path), resolve)
    for path in gone:
        note(path, "removed")
    if idle and not changed and not gone:
        note(wanted.files[0].path, "stands, and is not in effect")
    step = dataclasses.replace(wanted, files=changed, remove=gone)
    yield fed("install-files", step.archive(resolve))
    if step.deadman is not None:
        yield FunctionCommand(deadman.confirm, (), {"token": step.token, "seconds": step.deadman})


@operation()
def folder(path: str) -> Generator[str, None, None]:
    """A folder of root's that everybody may read (0755); what is in it is not Mainstay's."""
    found = host.get_fact(Directory, path=path)
    if found and (found["user"], found["group"], found["mode"]) == ("root", "root", 755):
        host.noop(f"{path} stands")
        return
    note(path, "owner or mode differs" if found else "new")
    if run := context.run_id():
        yield shlex.join([f"{KIT}/journal", "save", run, path])
    yield shlex.join(["install", "-d", "-m", "0755", "-o", "root", "-g", "root", path])


def _stands(managed: ManagedFile, state: Any, digest: str) -> bool:
    if state is None:
        return False
    wanted = (managed.owner, managed.group, managed.mode, digest)
    return bool((state.owner, state.group, state.mode, state.sha256) == wanted)


def _note_change(managed: ManagedFile, state: Any, resolve: Any) -> None:
    if state is not None and state.sha256 == managed.digest(resolve):
        found = f"{state.owner}:{state.group} {state.mode:o}"
        note(managed.path, f"{found} -> {managed.owner}:{managed.group} {managed.mode:o}")
    elif resolve(managed.content) != managed.content:
        # What stands on the host holds a secret of which only the new value is known here: nothing of it is shown.
        note(managed.path, "content differs (holds secrets, not shown)" if state else "new (holds secrets, not shown)")
    else:
        before = host.get_fact(FileText, path=managed.path) if state else None
        note(managed.path, unified_diff(managed.path, before, managed.content))
