"""`mainstay schema`: JSON Schema of the inventory's files, for editors."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from mainstay.cli import output
from mainstay.errors import UsageError
from mainstay.inventory.schema import schemas


def command(
    out: Annotated[
        Path | None, typer.Option("--out", metavar="DIR", help="Write system.json, environment.json and releases.json.")
    ] = None,
) -> None:
    """Print the JSON Schema of inventories, or write it where the YAML files look for it (inventories/schema).

    Fields marked "per_env" may be set by staging.yaml and production.yaml; the others by system.yaml only.
    """
    found = schemas()
    if out is None:
        output.data(found)
        return
    write(out)
    output.line(f"{len(found)} schemas in {out}")


def write(folder: Path) -> None:
    """Write each schema to a file of its own.

    Raises:
        UsageError: the folder cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, schema in schemas().items():
            (folder / name).write_text(json.dumps(schema, indent=2, sort_keys=True) + "\n", encoding="utf-8")
    except OSError as error:
        raise UsageError(
            f"{folder}: found a folder that cannot be written ({error.strerror}), expected one that can."
        ) from None
