"""The command line: one module a verb, put together here; errors become one sentence and an exit code here, only."""

from __future__ import annotations

import io
import os
import sys
import traceback
from importlib import import_module
from typing import Any

import typer

from mainstay import __version__
from mainstay.cli import output
from mainstay.errors import MainstayError

# Order of the help page: what a newcomer meets first stands first.
VERBS = {
    "init": "mainstay.cli.init",
    "check": "mainstay.cli.check",
    "schema": "mainstay.cli.schema",
    "render": "mainstay.cli.render",
    "plan": "mainstay.cli.plan",
    "apply": "mainstay.cli.apply",
    "verify": "mainstay.cli.verify",
    "rollout": "mainstay.cli.rollout",
    "rollback": "mainstay.cli.rollback",
    "status": "mainstay.cli.status",
    "history": "mainstay.cli.history",
}
GROUPS = {"db": "mainstay.cli.db", "secrets": "mainstay.cli.secrets", "lab": "mainstay.cli.lab"}
# What only these need is imported only for them: `mainstay check` does not wait for pyinfra.
INTERRUPTED = 130
# typer carries a copy of click inside; this is how to name the base of its usage errors whichever it uses.
_ClickException: type[Exception] = next(c for c in typer.BadParameter.__mro__ if c.__name__ == "ClickException")


def run(argv: list[str] | None = None) -> int:
    """Runs one command and returns its exit code (see `mainstay.errors`)."""
    words = list(sys.argv[1:] if argv is None else argv)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            # A diff may hold what a host's file holds: bytes that are no text.
            stream.reconfigure(errors="backslashreplace")
    try:
        result = _app(words)(words, prog_name="mainstay", standalone_mode=False)
        return result if isinstance(result, int) else 0
    except MainstayError as error:
        output.error(str(error))
        return error.exit_code
    except typer.Exit as error:
        return error.exit_code
    except _ClickException as error:
        error.show(file=sys.stderr)  # type: ignore[attr-defined]
        return 2
    except (KeyboardInterrupt, typer.Abort):
        output.error("interrupted")
        return INTERRUPTED
    except Exception as error:
        if os.environ.get("MAINSTAY_DEBUG"):
            traceback.print_exc()
        output.error(f"a fault of Mainstay itself: {type(error).__name__}: {error}; MAINSTAY_DEBUG=1 shows where")
        return 1


def _app(words: list[str]) -> Any:
    """The command tree; with a verb on the line, only its module is imported."""
    app = typer.Typer(
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
        rich_markup_mode="rich",
        help="Runbooks that run: bring hosts to what an inventory says, staging first, over SSH, with no agent.",
        epilog="Exit codes: 0 done, 1 a host or a check failed, 2 wrong usage or inventory, 3 refused by a gate, "
        "the lease or a window, 4 `plan --exit-code` found changes, 130 interrupted.",
    )
    verb = next((word for word in words if not word.startswith("-")), None)
    known = verb in VERBS or verb in GROUPS
    for name, module in VERBS.items():
        if not known or verb == name:
            app.command(name)(import_module(module).command)
    for name, module in GROUPS.items():
        if not known or verb == name:
            app.add_typer(import_module(module).app, name=name)
    app.callback()(_options)
    return typer.main.get_command(app)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(__version__)
        raise typer.Exit


def _options(
    lab: bool = typer.Option(False, "--lab", help="Act on the lab's hosts (same as MAINSTAY_LAB=1)."),
    version: bool = typer.Option(
        False, "--version", help="Print the version and end.", is_eager=True, callback=_version
    ),
) -> None:
    if lab:
        os.environ.setdefault("MAINSTAY_LAB", "1")
