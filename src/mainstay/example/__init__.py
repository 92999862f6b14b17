"""The system that `mainstay init` writes: the files beside this one, with the operator's own names in place."""

from __future__ import annotations

import getpass
import os
import re
from importlib import resources
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from mainstay.errors import UsageError
from mainstay.inventory import Name

# Nobody holds the private half: whoever rolls out without an own key learns it from staging, not from an intruder.
NOBODYS_KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAINwe0qH4h3X1ZW0CKzTX0RLc/zxAJUyBJLu/cbexpHcm replace-me"
INVENTORY = ("system.yaml", "staging.yaml", "production.yaml", "releases.yaml", "staging.py", "production.py")
PROJECT = {
    "gitignore": ".gitignore",
    "project.md": "README.md",
    "build.py": "build.py",
    "service/main.py": "service/main.py",
    "service/requirements.txt": "service/requirements.txt",
}
FIRST_PERSON = 1000  # Debian's accounts below this uid are the system's own
SHARED_ACCOUNTS = {"debian", "admin", "ubuntu"}


def write(name: str, folder: Path) -> list[Path]:
    """Write the example as system `name` into the project `folder`; returns the files written.

    Raises:
        UsageError: not a name, or the system is there already, or the folder cannot be written.
    """
    try:
        TypeAdapter(Name).validate_python(name)
    except ValidationError as error:
        expected = error.errors()[0]["msg"].removeprefix("Value error, ")
        raise UsageError(f"NAME: found {name!r}, expected {expected}.") from None
    inventory = folder / "inventories" / name
    if inventory.exists():
        raise UsageError(f"{inventory}: found a system of that name already, expected a new one.")
    texts = {inventory / file: _text(file, name) for file in INVENTORY}
    texts |= {folder / target: _text(file, name) for file, target in PROJECT.items()}
    written = []
    try:
        for path, text in texts.items():
            if not path.exists():
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(text, encoding="utf-8")
                written.append(path)
    except OSError as error:
        raise UsageError(f"{folder}: found a folder that cannot be written ({error.strerror}).") from None
    return written


def _text(file: str, name: str) -> str:
    user, key = _operator()
    values = {"@NAME@": name, "@IDENTIFIER@": name.replace("-", "_"), "@OPERATOR@": user, "@KEY@": key}
    text = resources.files(__name__).joinpath(file).read_text(encoding="utf-8")
    for placeholder, value in values.items():
        text = text.replace(placeholder, value)
    return text


def _operator() -> tuple[str, str]:
    """The local user with a public key of their own, where those serve."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):
        user = ""
    person = os.getuid() >= FIRST_PERSON and user not in SHARED_ACCOUNTS
    if not person or not re.fullmatch(r"[a-z]([a-z0-9-]{0,22}[a-z0-9])?", user):
        user = "first-operator"
    for file in ("id_ed25519.pub", "id_ecdsa.pub", "id_rsa.pub"):
        path = Path("~/.ssh").expanduser() / file
        if path.is_file():
            kind, body, *_ = [*path.read_text(encoding="utf-8", errors="replace").split(), "", ""]
            if kind.startswith(("ssh-", "ecdsa-")) and re.fullmatch(r"[A-Za-z0-9+/]{32,}={0,2}", body):
                return user, f"{kind} {body} {user}"
    return user, NOBODYS_KEY
