"""YAML read strictly: every key once, YAML 1.2's plain scalars, and the line of every value kept for messages.

PyYAML's own loader lets a second key of the same name win, and reads `yes` as true, `0640` as 416 and `02:00` as 120.
Here those are text, and the model then says that it wanted something else.
"""

from __future__ import annotations

import json
import math
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from mainstay.errors import Problem

DEEPEST = 40
LARGEST = 1024 * 1024
MOST_VALUES = 50_000
LONGEST_KEY = 80
_TAGS = "tag:yaml.org,2002:"
_PLAIN_KEY = re.compile(r"[A-Za-z0-9_-]{1,64}")

KeyPath = tuple[str | int, ...]


class _Loader(yaml.SafeLoader):
    """PyYAML's parser with the plain scalars of YAML 1.2."""

    yaml_implicit_resolvers = {}  # noqa: RUF012 - PyYAML declares it, and copies it on the first addition


class _FastLoader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]  # libyaml's, where it was built
    """The same by libyaml: ten times as fast, with other words for errors, and no limit to its recursion."""


for _tag, _pattern, _first in (
    ("bool", r"true|false", "tf"),
    ("int", r"[-+]?(0|[1-9][0-9]*)", "-+0123456789"),
    ("float", r"[-+]?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][-+]?[0-9]+)?", "-+0123456789"),
    ("null", r"~|null|", "~n\0"),
):
    _Loader.add_implicit_resolver(f"{_TAGS}{_tag}", re.compile(rf"^(?:{_pattern})$"), list(_first))
_FastLoader.yaml_implicit_resolvers = _Loader.yaml_implicit_resolvers


@dataclass
class Document:
    """One file: its values, and the line on which each of them stands."""

    file: str
    data: dict[str, Any] = field(default_factory=dict)
    lines: dict[KeyPath, int] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)


def read(path: Path, file: str) -> Document:
    """The file's values; what is wrong with it as `problems`, never an exception.

    Args:
        path: the file.
        file: how messages name it.
    """
    document = Document(file)
    try:
        if path.stat().st_size > LARGEST:
            return _fault(document, 0, "more than 1 MiB", "a file that people write")
        text = path.read_bytes().decode("utf-8-sig")
    except FileNotFoundError:
        return _fault(document, 0, "no such file", "a YAML file")
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        return _fault(document, line, "bytes that are not UTF-8", "a file in UTF-8")
    except OSError as error:
        return _fault(document, 0, f"a file that cannot be read ({error.strerror})", "a readable file")
    return _parse(document, text)


def _parse(document: Document, text: str) -> Document:
    try:
        node = _compose(text)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = mark.line + 1 if mark else 0
        return _fault(document, line, f"YAML that does not parse ({error.problem or error.context})", "valid YAML")
    except yaml.YAMLError:
        return _fault(document, 0, "a character that YAML does not allow", "printable text")
    except (RecursionError, ValueError):
        return _fault(document, 0, "values nested too deeply to read", f"at most {DEEPEST} levels")
    if node is None:
        return document
    if not isinstance(node, yaml.MappingNode):
        return _fault(document, node.start_mark.line + 1, "no mapping at the top", "keys with values")
    document.data = _Builder(document).build(node, ())
    return document


def _compose(text: str) -> yaml.Node | None:
    # No value is nested deeper than there are brackets and columns; beyond this, libyaml would overrun its stack.
    if text.count("[") + text.count("{") + max(map(len, text.splitlines()), default=0) < 2000:
        try:
            return yaml.compose(text, Loader=_FastLoader)
        except yaml.YAMLError:
            pass  # said in PyYAML's own words below
    return yaml.compose(text, Loader=_Loader)


def _fault(document: Document, line: int, found: str, expected: str) -> Document:
    where = f"{document.file}:{line}" if line else document.file
    document.problems.append(Problem(where, "", found, expected))
    return document


class _Builder:
    """Turns the parser's nodes into values, and says what it does not accept."""

    def __init__(self, document: Document) -> None:
        self.document = document
        self.count = 0

    def build(self, node: yaml.Node, path: KeyPath) -> Any:
        self.document.lines.setdefault(path, node.start_mark.line + 1)
        self.count += 1
        if self.count > MOST_VALUES:  # aliases of aliases make a small file large
            if self.count == MOST_VALUES + 1:
                self._fault(node, path, f"more than {MOST_VALUES} values", "a file that people write")
            return None
        if len(path) > DEEPEST:  # an alias inside its own anchor never ends
            self._fault(node, path[:3], "values nested too deeply", f"at most {DEEPEST} levels")
            return None
        if isinstance(node, yaml.MappingNode) and node.tag == f"{_TAGS}map":
            return self._mapping(node, path)
        if isinstance(node, yaml.SequenceNode) and node.tag == f"{_TAGS}seq":
            return [self.build(item, (*path, index)) for index, item in enumerate(node.value)]
        return self._scalar(node, path)

    def _mapping(self, node: yaml.MappingNode, path: KeyPath) -> dict[str, Any]:
        values: dict[str, Any] = {}
        first: dict[str, int] = {}
        for key_node, value_node in node.value:
            line = key_node.start_mark.line + 1
            if not isinstance(key_node, yaml.ScalarNode):
                self._fault(key_node, path, "a list or mapping as a key", "a plain key")
                continue
            key = key_node.value
            if key in first:
                self._fault(key_node, (*path, key), f"the key of line {first[key]} again", "each key once")
                continue
            first[key] = line
            self.document.lines[(*path, key)] = line
            values[key] = self.build(value_node, (*path, key))
        return values

    def _scalar(self, node: yaml.Node, path: KeyPath) -> Any:
        """The value of a plain or quoted scalar; other tags, of lists and mappings too, are faults."""
        kind = node.tag.removeprefix(_TAGS)
        text = node.value if isinstance(node, yaml.ScalarNode) else ""
        try:
            if kind == "str":
                return text
            if kind == "bool" and text in ("true", "false"):
                return text == "true"
            if kind == "null":
                return None
            if kind == "int":
                return int(text)
            if kind == "float" and math.isfinite(number := float(text)):
                return number
        except ValueError:
            pass
        found = f"the tag {node.tag[:40]}" if kind not in ("int", "float", "bool") else "a number that is too large"
        self._fault(node, path, found, "plain text, a number, true or false")
        return None

    def _fault(self, node: yaml.Node, path: KeyPath, found: str, expected: str) -> None:
        where = f"{self.document.file}:{node.start_mark.line + 1}"
        self.document.problems.append(Problem(where, dotted(path), found, expected))


def dotted(path: KeyPath) -> str:
    """The path of a key as messages write it: `services.backend.health[0].path`, `artefacts["1.0.0"].file`."""
    text = ""
    for part in path:
        if isinstance(part, int):
            text += f"[{part}]"
        elif _PLAIN_KEY.fullmatch(part):
            text += f".{part}" if text else part
        else:
            shown = json.dumps(part)
            text += f"[{shown if len(shown) <= LONGEST_KEY else shown[:LONGEST_KEY] + '...'}]"
    return text
