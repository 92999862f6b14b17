"""Hides secret values in text that is about to be printed, whatever quoting or encoding they took on the way.

A value may come back from a host: in the error of a command that read it from a file, in a log line, in a URL. The
registry remembers what this process has revealed, and the edge passes all output through `mask()`. Give it whole lines:
a value cut in two by a buffer is not found.
"""

from __future__ import annotations

import base64
import json
import shlex
from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache
from urllib.parse import quote, quote_plus

from mainstay.secrets.placeholder import PLACEHOLDER

MIN_CHARS = 4
"""A shorter value can be neither kept secret nor hidden without wrecking the text around it; the store refuses it."""

_MIN_FRAGMENT = 8
_revealed: dict[str, str] = {}


def remember(value: str, placeholder: str) -> None:
    """Registers a value that this process has seen, so that `mask()` puts `placeholder` in its place."""
    if len(value) >= MIN_CHARS:
        _revealed[value] = placeholder


def mask(text: str, values: Mapping[str, str] | None = None) -> str:
    """`text` with every value, in any of its usual encodings, replaced.

    Args:
        text: whole lines.
        values: value -> what stands in its place; without it, all values that this process has revealed.

    Overlapping finds are replaced as one, so that no fragment of either value stays behind. What is found inside a
    placeholder that stands there already is left alone.
    """
    labels = _revealed if values is None else values
    found = [span for value, label in labels.items() for span in _spans(text, value, label)]
    if not found:
        return text
    kept = [match.span() for match in PLACEHOLDER.finditer(text)]
    outside = (span for span in found if not any(start <= span[0] and span[1] <= end for start, end in kept))
    pieces: list[str] = []
    position = 0
    for start, end, label in sorted(outside):
        if start >= position:
            pieces += [text[position:start], label]
        position = max(position, end)
    return "".join([*pieces, text[position:]])


def _spans(text: str, value: str, label: str) -> Iterator[tuple[int, int, str]]:
    for form in _forms(value):
        start = text.find(form)
        while start >= 0:
            yield start, start + len(form), label
            start = text.find(form, start + 1)


def _shell_inner(value: str) -> str:
    return shlex.quote(value).removeprefix("'").removesuffix("'")


_ENCODERS: tuple[Callable[[str], str], ...] = (
    lambda value: quote(value, safe=""),
    quote,
    quote_plus,
    _shell_inner,
    lambda value: _shell_inner(_shell_inner(value)),
    lambda value: value.replace("'", "'\\''"),
    lambda value: value.replace("'", "''"),
    lambda value: "".join(f"\\{char}" if char in '"\\$`' else char for char in value),
    lambda value: json.dumps(value)[1:-1],
    lambda value: json.dumps(value, ensure_ascii=False)[1:-1],
    lambda value: repr(value)[1:-1],
    lambda value: value.encode().hex(),
)


@lru_cache(maxsize=512)
def _forms(value: str) -> tuple[str, ...]:
    """Every text under which `value` may appear: plain, its lines, quoted, URL- and base64-encoded."""
    forms = {value} | {encode(value) for encode in _ENCODERS} | set(_base64_forms(value.encode()))
    forms |= {_lower_escapes(form) for form in (quote(value, safe=""), quote(value), quote_plus(value))}
    forms |= {line for line in map(str.strip, value.splitlines()) if len(line) >= _MIN_FRAGMENT}
    return tuple(sorted((form for form in forms if len(form) >= MIN_CHARS), key=len, reverse=True))


def _lower_escapes(quoted: str) -> str:
    head, *escapes = quoted.split("%")
    return head + "".join(f"%{escape[:2].lower()}{escape[2:]}" for escape in escapes)


def _base64_forms(data: bytes) -> Iterator[str]:
    """Base64 of the value alone, and its part in the base64 of a longer text (`Authorization: Basic ...`).

    Within a longer text the encoding depends on how many bytes stand before (modulo 3); the characters that mix with a
    neighbour's bits are left out.
    """
    for encode in (base64.b64encode, base64.urlsafe_b64encode):
        yield encode(data).decode()
        for before in range(3):
            first = -(-before * 8 // 6)
            last = (before + len(data)) * 8 // 6
            inner = encode(bytes(before) + data).decode()[first:last]
            if len(inner) >= _MIN_FRAGMENT:
                yield inner
