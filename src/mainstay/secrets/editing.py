"""Values in the operator's editor: in a private file, in memory where there is /dev/shm, wiped after."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import yaml

from mainstay.errors import SecretError

_HEADER = (
    "# NAME: value, one a secret. Leave out a name to remove it. Leave the editor with an error to change nothing.\n"
)
_ENDING = (signal.SIGHUP, signal.SIGTERM)


def edit_values(values: Mapping[str, str]) -> dict[str, str]:
    """What the operator made of `values` in $VISUAL or $EDITOR.

    Raises:
        SecretError: the editor cannot be started or failed, or what it left is not such a list; values stay unsaid.
    """
    with _private_folder() as folder:
        file = folder / "secrets.yaml"
        file.write_text(_HEADER + _as_yaml(values), encoding="utf-8")
        _run_editor(file)
        try:
            return _parse(file.read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError):
            raise SecretError("edit: the editor left no text file, nothing is changed") from None


def _as_yaml(values: Mapping[str, str]) -> str:
    if not values:
        return ""
    # A wide width: a folded long value is hard to edit. ASCII escapes keep every character exact.
    return yaml.dump(dict(values), Dumper=_Dumper, default_flow_style=False, width=1_000_000)


class _Dumper(yaml.SafeDumper):
    """Writes values with line breaks (keys, certificates) as readable blocks."""


def _text(dumper: yaml.SafeDumper, value: str) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", value, style="|" if "\n" in value else None)


_Dumper.add_representer(str, _text)


def _parse(text: str) -> dict[str, str]:
    try:
        # BaseLoader leaves every scalar text: a value such as 0123 or `no` must not become a number or a truth value.
        values: Any = yaml.load(text, Loader=yaml.BaseLoader)  # noqa: S506
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise SecretError(f"edit: line {line} is not valid YAML, nothing is changed") from None
    except yaml.YAMLError:
        raise SecretError("edit: not valid YAML, nothing is changed") from None
    values = values or {}
    if not isinstance(values, dict) or not all(isinstance(value, str) for pair in values.items() for value in pair):
        raise SecretError("edit: found something else than lines of NAME: value, nothing is changed")
    return values


def _run_editor(file: Path) -> None:
    editor = os.environ.get("VISUAL") or os.environ.get("EDITOR") or "vi"
    try:
        done = subprocess.run([*shlex.split(editor), str(file)], check=False)
    except (OSError, ValueError):
        raise SecretError(f"edit: cannot start the editor {editor!r}, name one in EDITOR") from None
    if done.returncode != 0:
        raise SecretError(f"edit: the editor ended with {done.returncode}, nothing is changed")


@contextmanager
def _private_folder() -> Iterator[Path]:
    """A folder that only this user can enter; all in it, an editor's swap files too, is wiped at the end.

    A closed terminal or a kill ends the block as Ctrl-C does, so that nothing stays behind.
    """
    memory = Path("/dev/shm")  # noqa: S108
    before = {number: signal.signal(number, _end) for number in _ENDING}
    old_mask = os.umask(0o077)
    folder = Path(tempfile.mkdtemp(prefix="mainstay-", dir=memory if os.access(memory, os.W_OK) else None))
    try:
        yield folder
    finally:
        for file in [path for path in folder.rglob("*") if path.is_file() and not path.is_symlink()]:
            _wipe(file)
        for path in sorted(folder.rglob("*"), reverse=True):
            path.rmdir() if path.is_dir() and not path.is_symlink() else path.unlink()
        folder.rmdir()
        os.umask(old_mask)
        for number, handler in before.items():
            signal.signal(number, handler)


def _end(number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _wipe(file: Path) -> None:
    with file.open("r+b") as data:
        data.write(b"\0" * file.stat().st_size)
        data.flush()
        os.fsync(data.fileno())
