"""A file that one writer at a time replaces in one step."""

from __future__ import annotations

import fcntl
import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mainstay.errors import SecretError

WAIT_S = 10.0


@contextmanager
def held(path: Path) -> Iterator[None]:
    """Holds the folder of `path` against a second writer; locking the folder leaves no lock file behind.

    Raises:
        SecretError: there is no such folder, or another writer holds it for longer than WAIT_S seconds.
    """
    try:
        handle = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    except OSError as error:
        raise SecretError(f"{path}: cannot write the secrets ({error.strerror})") from None
    try:
        _acquire(handle, path)
        yield
    finally:
        os.close(handle)


def _acquire(handle: int, path: Path) -> None:
    deadline = time.monotonic() + WAIT_S
    while True:
        try:
            return fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= deadline:
                message = f"{path}: another command has been writing secrets for {WAIT_S:.0f} s, try again"
                raise SecretError(message) from None
            time.sleep(0.05)


def replace(path: Path, text: str) -> None:
    """Replaces the file in one step, mode 0600; a crash leaves either the old text or the new.

    Raises:
        SecretError: the folder cannot be written, or the disk is full.
    """
    try:
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    except OSError as error:
        raise SecretError(f"{path}: cannot write the secrets ({error.strerror})") from None
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        Path(name).replace(path)
    except OSError as error:
        raise SecretError(f"{path}: cannot write the secrets ({error.strerror})") from None
    finally:
        Path(name).unlink(missing_ok=True)
