"""`mainstay render`: the managed files of hosts, offline."""

from __future__ import annotations

from typing import Annotated

import typer

from mainstay import components
from mainstay.cli import output, target


def command(
    environment: Annotated[str, typer.Argument(metavar="SYSTEM/ENV", help=target.TARGET_HELP)],
    limit: Annotated[str | None, typer.Option(help=target.LIMIT_HELP)] = None,
    path: Annotated[str | None, typer.Option(help="Only this file.")] = None,
    json: Annotated[bool, typer.Option("--json", help="JSON (docs/json/render.schema.json).")] = False,
) -> None:
    """Show the files that hosts would get, without connecting to any.

    Secrets stand as `<secret NAME@version>`. The same inventory renders the same bytes on every laptop.
    """
    loaded = target.environment_of(environment)
    names = target.members(loaded, limit)
    hosts = {
        name: [managed for managed in components.rendered(loaded, loaded.hosts[name]) if path in (None, managed.path)]
        for name in names
    }
    if json:
        rows = {
            name: [
                {"path": f.path, "owner": f.owner, "group": f.group, "mode": f"{f.mode:04o}", "content": f.content}
                for f in files
            ]
            for name, files in hosts.items()
        }
        output.data({"environment": loaded.name, "hosts": rows})
        return
    target.announce("render", loaded, names)
    for name, files in hosts.items():
        for managed in files:
            output.line(f"# {name}:{managed.path} {managed.owner}:{managed.group} {managed.mode:04o}", style="bold")
            output.line(managed.content)
