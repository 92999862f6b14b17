"""systemd units: enabled and running, with their state journalled before it changes."""

from __future__ import annotations

import shlex
from collections.abc import Generator

from pyinfra import host
from pyinfra.api import operation

from deploys.operations.files import KIT
from facts.units import UnitStates
from mainstay import context
from mainstay.plan_notes import note


@operation()
def running(names: list[str], enabled: bool = True) -> Generator[str, None, None]:
    """Starts (and enables, where asked) those of `names` that are not; never restarts one that runs."""
    states = host.get_fact(UnitStates, units=names)
    run = context.run_id()
    for name in names:
        state = states.get(name)
        starts = state is None or state.active not in ("active", "activating", "reloading")
        enables = enabled and (state is None or state.enabled not in ("enabled", "static", "alias", "indirect"))
        if not starts and not enables:
            continue
        note(name, " and ".join(verb for verb, wanted in (("enable", enables), ("start", starts)) if wanted))
        unit = shlex.quote(name)
        if run:
            yield f"{KIT}/journal unit {shlex.quote(run)} {unit}"
        if enables:
            yield f"systemctl enable --quiet {unit}"
        if starts:
            yield f"systemctl start {unit}"
