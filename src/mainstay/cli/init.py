"""`mainstay init`: a project with an inventory that passes `check` at once."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mainstay import example
from mainstay.cli import output, schema


def command(
    name: Annotated[str, typer.Argument(metavar="NAME", help="The system: lower-case letters, digits, hyphens.")],
    folder: Annotated[Path | None, typer.Option("--dir", help="Where to write it; by default ./NAME.")] = None,
) -> None:
    """Write a project for a new system: short links behind nginx, with PostgreSQL and monitoring, on one host.

    It checks at once and rolls out in the lab; its README says how. Nothing that exists is overwritten.
    """
    target = folder or Path(name)
    written = example.write(name, target)
    schema.write(target / "inventories" / "schema")
    for path in written:
        output.line(str(path))
    output.line(f"next: cd {target} && mainstay check {name}; README.md there has the commands that roll it out")
