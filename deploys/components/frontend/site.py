"""A built site as objects: what each file becomes in a store. Pure, but for reading the artefact."""

from __future__ import annotations

import hashlib
import mimetypes
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from mainstay.errors import UsageError

INDEX = "index.html"
ASSETS = "assets/"
"""Below it, names hold their content's hash: what stands there never changes."""
FOR_EVER = "public, max-age=31536000, immutable"
ASK_ANEW = "no-cache"

# Python's own table, not this machine's: two laptops publish the same.
_TYPES = mimetypes.MimeTypes((), strict=False)
_MORE = {
    ".js": "text/javascript",
    ".mjs": "text/javascript",
    ".woff2": "font/woff2",
    ".webmanifest": "application/manifest+json",
    ".map": "application/json",
    ".avif": "image/avif",
    ".webp": "image/webp",
    ".wasm": "application/wasm",
}
_CHARSET = ("text/", "application/json", "application/manifest+json", "image/svg+xml")


@dataclass(frozen=True)
class File:
    """One file of the site by its path below it."""

    path: str
    data: bytes

    @cached_property
    def md5(self) -> str:
        """What a store calls the ETag of an object that came in one piece."""
        return hashlib.md5(self.data, usedforsecurity=False).hexdigest()

    @property
    def headers(self) -> dict[str, str]:
        """The arguments of `put_object` that the answers' headers come from."""
        return headers_of(self.path)


def headers_of(path: str) -> dict[str, str]:
    """How a file of this name is served: its type, and how long browsers and the CDN may keep it."""
    suffix = Path(path).suffix.lower()
    kind = _MORE.get(suffix) or _TYPES.guess_type(path)[0] or "application/octet-stream"
    charset = "; charset=utf-8" if kind.startswith(_CHARSET) else ""
    return {"ContentType": kind + charset, "CacheControl": FOR_EVER if path.startswith(ASSETS) else ASK_ANEW}


def read(artefact: Path, settings: Mapping[str, str]) -> list[File]:
    """The files of a release, its index filled in: assets first, then what keeps its name, the index last (DF-60).

    Args:
        artefact: whose checksum is proven already.
        settings: what each %NAME% in the index becomes, as HTML.

    Raises:
        UsageError: no such file, no archive, or a release without an index.
    """
    try:
        with tarfile.open(artefact) as tar:
            members = {_below_dist(member.name): member for member in tar.getmembers() if member.isfile()}
            found = {path: _content(tar, member) for path, member in members.items() if path}
    except (OSError, tarfile.TarError, EOFError) as error:
        raise UsageError(
            f"{artefact}: found no archive that can be read ({error}), expected the built release"
        ) from error
    if INDEX not in found:
        raise UsageError(f"{artefact}: found no dist/{INDEX}, expected it in a static release")
    index = found[INDEX].decode()
    for name, value in settings.items():
        index = index.replace(f"%{name}%", value)
    found[INDEX] = index.encode()
    return [File(path, found[path]) for path in sorted(found, key=turn)]


def turn(path: str) -> tuple[int, str]:
    """In which order files come: whoever reads one that names others finds those."""
    return (2 if path == INDEX else 0 if path.startswith(ASSETS) else 1, path)


def _below_dist(name: str) -> str:
    return name.removeprefix("./").removeprefix("dist/") if name.removeprefix("./").startswith("dist/") else ""


def _content(tar: tarfile.TarFile, member: tarfile.TarInfo) -> bytes:
    stream = tar.extractfile(member)
    return stream.read() if stream is not None else b""
