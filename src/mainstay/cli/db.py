"""`mainstay db`: what the inventory makes of a system's databases."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from mainstay import components
from mainstay.cli import output, target
from mainstay.inventory import Host
from mainstay.inventory.fields import format_size
from mainstay.tuning import Setting

app = typer.Typer(no_args_is_help=True, help="Databases: how they are tuned, and why.")


@app.callback()
def _group() -> None:
    """Databases: how they are tuned, and why."""


@app.command()
def tuning(
    environment: Annotated[str, typer.Argument(metavar="SYSTEM/ENV", help=target.TARGET_HELP)],
    limit: Annotated[str | None, typer.Option(help=target.LIMIT_HELP)] = None,
    json: Annotated[bool, typer.Option("--json", help="JSON (docs/json/tuning.schema.json).")] = False,
) -> None:
    """Show each setting of the database servers: its value, what it comes from, and the rule; connects to no host.

    What the inventory sets itself stands beside what the declared size of the host would give.
    """
    loaded = target.environment_of(environment)
    names = target.members(loaded, limit)
    found = {name: components.tuned(loaded, loaded.hosts[name]) for name in names}
    hosts = {name: settings for name, settings in found.items() if settings}
    if json:
        rows = {name: _host_json(loaded.hosts[name], settings) for name, settings in hosts.items()}
        output.data({"environment": loaded.name, "hosts": rows})
        return
    target.announce("db tuning", loaded, names)
    for name, settings in hosts.items():
        _show(loaded.hosts[name], settings)
    if not hosts:
        output.told("no host of these has a database server that Mainstay tunes")


def _host_json(host: Host, found: dict[str, list[Setting]]) -> dict[str, Any]:
    """One host as `docs/json/tuning.schema.json` describes it."""
    rows = [_setting_json(stem, setting) for stem, settings in found.items() for setting in settings]
    return {"memory": host.memory, "cores": host.cores, "disk": host.disk, "settings": rows}


def _setting_json(stem: str, setting: Setting) -> dict[str, Any]:
    instead = setting.instead_of
    return {
        "component": stem,
        "name": setting.name,
        "value": setting.value,
        "source": setting.source,
        "of": list(setting.of),
        "reason": setting.reason,
        "instead_of": None if instead is None else {"value": instead.value, "reason": instead.reason},
    }


def _show(host: Host, found: dict[str, list[Setting]]) -> None:
    size = f"{format_size(host.memory)} of memory, {host.cores} cores, {format_size(host.disk)} of disk"
    for stem, settings in found.items():
        rows = [[s.name, s.value, ", ".join(s.of) or s.source, _why(s)] for s in settings]
        output.table(f"{stem} on {host.name}: {size}", ["setting", "value", "from", "why"], rows)


def _why(setting: Setting) -> str:
    instead = setting.instead_of
    if instead is None:
        return "the inventory's own" if setting.source == "inventory" else setting.reason
    return f"the inventory's own, instead of {instead.value}: {instead.reason}"
