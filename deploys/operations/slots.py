"""Slots: what runs now goes on until what is new has proven itself beside it, then nginx changes over."""

from __future__ import annotations

import shlex
from collections.abc import Generator
from typing import Any

from pyinfra import host
from pyinfra.api import StringCommand, operation

from deploys.components.service.deployment import Deployment, Resolve
from deploys.operations import files
from deploys.operations.files import KIT
from facts.files import FileStates
from facts.service import Slots, SlotsState
from mainstay import context
from mainstay.files import FileSet
from mainstay.plan_notes import note

OTHER = {"blue": "green", "green": "blue"}


@operation()
def deployed(wanted: Deployment) -> Generator[Any, None, None]:
    """Brings the service to `wanted`, over the other slot where anything about its processes differs.

    The release must be on the host. A release that does not prove itself never receives a request; the host is left as
    it was, and the error holds the reason and the last lines of its log.
    """
    resolve = context.current_environment().secrets.resolve
    state = host.get_fact(Slots, base=wanted.base, unit=wanted.unit, nginx=wanted.nginx_path)
    why = reasons(wanted, state, resolve)
    if why:
        slot = _idle(wanted, state)
        _note_switch(wanted, state, slot, why)
        yield files.fed("switch", wanted.archive(slot, resolve))
        return
    yield from _repairs(wanted, state)
    yield from _slot_file(wanted, state.active, resolve)
    yield from files.installed._inner(wanted.nginx_files(state.active))


def _idle(wanted: Deployment, state: SlotsState) -> str:
    """The slot for what is new; where nginx's file does not tell which one serves, it is none that runs."""
    if state.active:
        return OTHER[state.active]
    runs = {port for port, instance in state.instances.items() if instance.active}
    return "green" if runs.intersection(wanted.ports["blue"]) else "blue"


def reasons(wanted: Deployment, state: SlotsState, resolve: Resolve) -> list[str]:
    """What differs between the processes that serve and those that are wanted, in words; empty where nothing does."""
    parts = wanted.parts(resolve)
    held = state.serving.get("parts") or {}
    if not held:
        return ["first release"]
    differs = [name for name in {**parts, **held} if held.get(name) != parts.get(name)]
    told = [f"version {held.get('version')} -> {wanted.version}" if name == "version" else name for name in differs]
    return told or _by_hand(wanted, parts)


def _by_hand(wanted: Deployment, parts: dict[str, str]) -> list[str]:
    """Files that are not what the running processes were started with: a restart would bring something else."""
    found = host.get_fact(FileStates, paths=[wanted.env_path, wanted.unit_path])
    expected = {
        wanted.env_path: ("root", wanted.user, 0o640, parts["environment"]),
        wanted.unit_path: ("root", "root", 0o644, parts["unit"]),
    }
    reasons = []
    for path, values in expected.items():
        at = found.get(path)
        if at is None or (at.owner, at.group, at.mode, at.sha256) != values:
            reasons.append(f"{path} was changed by hand")
    return reasons


def _note_switch(wanted: Deployment, state: SlotsState, slot: str, reasons: list[str]) -> None:
    """What the plan says: which slot gives way to which, and why."""
    ports = " ".join(str(port) for port in wanted.ports[slot])
    change = f"{state.active} -> {slot}" if state.active else slot
    note(wanted.service, f"{change} (ports {ports}): {', '.join(reasons)}")


def _slot_file(wanted: Deployment, slot: str, resolve: Resolve) -> Generator[StringCommand, None, None]:
    """The health checks in the slot's file are the inventory's; no diff, for it holds digests of what is secret."""
    file = wanted.slot_file(slot, resolve)
    found = host.get_fact(FileStates, paths=[file.path]).get(file.path)
    if found is not None and (found.mode, found.sha256) == (file.mode, file.digest(resolve)):
        return
    note(file.path, "health checks differ")
    yield files.fed("install-files", FileSet([file]).archive(resolve))


def _repairs(wanted: Deployment, state: SlotsState) -> Generator[str, None, None]:
    """Instances that serve run and start at boot; what a cut-off run left of the other slot does neither."""
    serving = wanted.ports[state.active]
    run = context.run_id()
    for port in sorted({*serving, *state.instances}):
        found = state.instances.get(port)
        unit = shlex.quote(wanted.name_of(port))
        runs, enabled = (found.active, found.enabled) if found else (False, False)
        if (runs, enabled) == (port in serving, port in serving):
            continue
        if run:
            yield f"{KIT}/journal unit {shlex.quote(run)} {unit}"
        verb = "enable" if port in serving else "disable"
        note(wanted.name_of(port), f"{verb} and {'start' if port in serving else 'stop'}")
        yield f"systemctl {verb} --quiet --now {unit}"
    if state.current != wanted.version:
        note(f"{wanted.base}/current", f"{state.current or 'nothing'} -> {wanted.version}")
        link = f"{wanted.base}/current"
        if run:
            yield f"{KIT}/journal save {shlex.quote(run)} {shlex.quote(link)}"
        yield f"ln -sfn {shlex.quote('releases/' + wanted.version)} {link}.new && mv -fT {link}.new {link}"
