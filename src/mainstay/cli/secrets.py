"""`mainstay secrets`: encrypted values of one environment; a value never stands on a command line."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer
from pydantic import BaseModel

from mainstay import project
from mainstay.cli import output
from mainstay.errors import SecretError, UsageError
from mainstay.secrets import Needed, SecretStore
from mainstay.secrets.editing import edit_values
from mainstay.secrets.store import today

app = typer.Typer(no_args_is_help=True, help="Keep the secrets of an environment: encrypted, one age block a value.")

Target = Annotated[str, typer.Argument(metavar="SYSTEM/ENV", help="Such as shop/staging.", show_default=False)]
Name = Annotated[str, typer.Argument(metavar="NAME", help="Such as JWT_SECRET_KEY.", show_default=False)]


class SecretRow(BaseModel):
    """One secret as `list --json` prints it; `created` is an ISO date (UTC)."""

    name: str
    version: int
    created: str
    age_days: int
    due: bool


class SecretsReport(BaseModel):
    """What `mainstay secrets list --json` prints: never a value."""

    environment: str
    rotation_days: int
    secrets: list[SecretRow]
    missing: list[str]


@app.command("set")
def set_(
    target: Target,
    name: Name,
    value: Annotated[list[str] | None, typer.Argument(hidden=True)] = None,
) -> None:
    """Store a value, from standard input or a hidden prompt. One line break at its end is not part of it (DF-65)."""
    if value:
        raise UsageError(
            f"{name}: found a value on the command line, where others can read it, expected it on standard input "
            "or at the prompt; use another value now"
        )
    store = _store(target)
    version = store.set(name, _read_value(name))
    output.line(f"{name} is at version {version} in {_shown(store.path)}.")


@app.command()
def get(
    target: Target,
    name: Name,
    show: Annotated[bool, typer.Option("--show", help="Print it even on a terminal.")] = False,
) -> None:
    """Print one value, exactly and with no line break added, for a pipe or a file."""
    secret = _store(target).get(name)
    if sys.stdout.isatty() and not show:
        raise UsageError(f"{name}: would be printed on this terminal, add --show or send it to a pipe or a file")
    sys.stdout.write(secret.reveal() + ("\n" if sys.stdout.isatty() else ""))


@app.command("list")
def list_(
    target: Target,
    as_json: Annotated[bool, typer.Option("--json", help="JSON (docs/json/secrets.schema.json).")] = False,
) -> None:
    """Show names, versions and ages, what is due for rotation (SE-03) and what is missing. Never a value."""
    report = _report(target)
    if as_json:
        output.data(report.model_dump())
        return
    rows = [[row.name, str(row.version), f"{row.age_days} d", "rotate" if row.due else ""] for row in report.secrets]
    rows += [[name, "-", "-", "missing"] for name in report.missing]
    output.table(f"Secrets of {target}", ["Name", "Version", "Age", ""], sorted(rows))
    due = sum(row.due for row in report.secrets)
    if due:
        output.told(f"{due} older than {report.rotation_days} days; set a new value, then roll out.", style="yellow")


@app.command()
def generate(
    target: Target,
    stand_ins: Annotated[
        bool,
        typer.Option("--stand-ins", help="Also make random values for keys that only their issuer can give (lab)."),
    ] = False,
) -> None:
    """Make every secret that the inventory needs and that is missing. A second run makes nothing."""
    store = _store(target)
    needed = _needed(target)
    if stand_ins:
        needed = [Needed(need.name, need.stand_in) for need in needed]
    done = store.generate(needed)
    if done.new_identity:
        output.line(f"Made your age identity {done.new_identity} (mode 0600); keep a copy, without it nothing opens.")
    for name in done.made:
        output.line(f"Made {name}.")
    output.line(f"{len(done.made)} made, {len(store.names()) - len(done.made)} kept in {_shown(store.path)}.")
    if done.by_hand:
        raise SecretError(f"{target}: only their issuer can make {', '.join(done.by_hand)}, store them with `set`")


@app.command()
def edit(target: Target) -> None:
    """Open all values in $EDITOR; only what changed is encrypted anew. The file for it is private and wiped after."""
    store = _store(target)
    before = {name: store.get(name).reveal() for name in store.names()}
    after = edit_values(before)
    changes: dict[str, str | None] = {name: value for name, value in after.items() if before.get(name) != value}
    changes |= dict.fromkeys(before.keys() - after.keys())
    versions = store.update(changes) if changes else {}
    for name in sorted(changes):
        output.line(f"{name} is at version {versions[name]}." if name in versions else f"{name} is removed.")
    output.line(f"{len(changes)} changed, {len(store.names()) - len(versions)} untouched in {_shown(store.path)}.")


@app.command()
def rekey(target: Target) -> None:
    """Encrypt all values anew, after you changed the recipients at the top of the file."""
    store = _store(target)
    count = store.rekey()
    output.line(f"{count} values encrypted for {len(store.recipients())} recipients in {_shown(store.path)}.")


def _store(target: str) -> SecretStore:
    from mainstay.inventory import ENVIRONMENTS
    from mainstay.inventory.stores import secrets_file

    system, _, env = target.partition("/")
    root = project.root()
    if env not in ENVIRONMENTS or system not in project.systems(root):
        known = ", ".join(f"{name}/{each}" for name in project.systems(root) for each in ENVIRONMENTS)
        raise UsageError(f"found {target!r}, expected one of: {known or 'none, `mainstay init NAME` makes a system'}")
    return SecretStore.open(secrets_file(root, system, env))


def _needed(target: str) -> list[Needed]:
    from mainstay.inventory import load
    from mainstay.secrets.needed import needed_secrets

    return needed_secrets(load(*target.split("/", 1), check_secrets=False))


def _report(target: str) -> SecretsReport:
    from mainstay.inventory import load
    from mainstay.secrets.needed import needed_secrets

    store = _store(target)
    env = load(*target.split("/", 1), check_secrets=False)
    days, now = env.common.secrets.rotation_days, today()
    rows = [
        SecretRow(
            name=name,
            version=entry.version,
            created=entry.created.isoformat(),
            age_days=entry.age_days(now),
            due=entry.due(now, days),
        )
        for name, entry in sorted(store.entries().items())
    ]
    missing = [need.name for need in needed_secrets(env) if need.name not in store.entries()]
    return SecretsReport(environment=target, rotation_days=days, secrets=rows, missing=missing)


def _read_value(name: str) -> str:
    if sys.stdin.isatty():
        value: str = typer.prompt(f"Value of {name}", hide_input=True, confirmation_prompt=True, err=True)
        return value
    try:
        text = sys.stdin.buffer.read().decode()
    except UnicodeDecodeError:
        raise UsageError(f"{name}: found bytes on standard input that are not UTF-8, expected text") from None
    return text.removesuffix("\r\n" if text.endswith("\r\n") else "\n")


def _shown(path: Path) -> str:
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else str(path)
