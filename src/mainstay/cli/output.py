"""Everything that is printed goes through here: masked, plain where it is no terminal, JSON where it is asked for."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table

from mainstay.secrets import mask

_out = Console(highlight=False, soft_wrap=True)
_err = Console(stderr=True, highlight=False, soft_wrap=True)


def line(text: str = "", style: str | None = None) -> None:
    """One line on standard output; known secret values in it are masked."""
    _out.print(mask(text), style=style, markup=False)


def told(text: str, style: str | None = None) -> None:
    """One line on standard error: progress, which `--json` keeps out of its output."""
    _err.print(mask(text), style=style, markup=False)


def error(text: str) -> None:
    """What went wrong, on standard error, a problem a line."""
    for row in text.splitlines():
        _err.print(f"mainstay: {mask(row)}", style="red", markup=False)


def data(value: Any) -> None:
    """JSON on standard output, keys in the order given."""
    sys.stdout.write(mask(json.dumps(value, indent=2, ensure_ascii=False)) + "\n")


def table(title: str, columns: list[str], rows: list[list[str]]) -> None:
    """A table; its cells are masked."""
    shown = Table(title=title, title_justify="left", title_style="bold", box=None, pad_edge=False, header_style="dim")
    for column in columns:
        shown.add_column(column, overflow="fold")
    for row in rows:
        shown.add_row(*[mask(cell) for cell in row])
    _out.print(shown)


def unproven(found: Mapping[str, Sequence[str]]) -> None:
    """The line of a summary about what the lab cannot prove, by host; nothing in the real world."""
    if found:
        told = "; ".join(f"{what} ({', '.join(hosts)})" for what, hosts in found.items())
        line(f"not proven in the lab: {told}", style="yellow")


def is_terminal() -> bool:
    """Whether a person watches standard error, where progress goes."""
    return _err.is_terminal
