"""Files of this machine that hosts are to get: what is sent is what the inventory pins."""

from __future__ import annotations

import hashlib
from pathlib import Path

from mainstay.errors import UsageError


def check(file: Path, sha256: str, pinned_by: str) -> None:
    """Reads the file and compares its checksum.

    Args:
        pinned_by: where the inventory says it, as messages name the place.

    Raises:
        UsageError: no file that can be read, or another checksum.
    """
    try:
        with file.open("rb") as data:
            found = hashlib.file_digest(data, "sha256").hexdigest()
    except OSError as error:
        raise UsageError(f"{file}: found no file that can be read ({error.strerror}), expected it there") from error
    if found != sha256:
        raise UsageError(f"{file}: found SHA-256 {found}, expected {sha256} as {pinned_by} pins it")
