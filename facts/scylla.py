"""A node of ScyllaDB as it is: its cluster by nodetool, its schema and roles by cqlsh; each reading a pure parser."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from pyinfra.api import FactBase
from typing_extensions import override

KIT = "/usr/local/lib/mainstay"
_NODE = re.compile(
    r"(?P<status>[UD?])(?P<state>[NLJM?])\s+(?P<address>\S+)\s+(?P<load>\?|[0-9.]+ [A-Za-z]+)\s+(?P<tokens>[0-9]+|\?)"
    r"\s+(?P<owns>\?|[0-9.]+%)\s+(?P<host_id>[0-9a-f-]{36}|null)\s+(?P<rack>\S+)\s*"
)


@dataclass(frozen=True)
class Node:
    """One line of `nodetool status`; `up` and `normal` together are its `UN`."""

    status: str
    state: str
    address: str
    load: str
    tokens: str
    owns: str
    host_id: str
    rack: str
    datacenter: str

    @property
    def word(self) -> str:
        """`UN`, `DN`, `UJ` and the like."""
        return self.status + self.state


def parse_status(lines: Sequence[str]) -> list[Node]:
    """Reads `nodetool status`: a datacentre's name, then a line a node; what is neither is a heading or a note."""
    found, datacenter = [], ""
    for line in lines:
        if line.startswith("Datacenter:"):
            datacenter = line.partition(":")[2].strip()
        elif match := _NODE.fullmatch(line):
            found.append(Node(**match.groupdict(), datacenter=datacenter))
    return found


def parse_info(lines: Sequence[str]) -> dict[str, str]:
    """Reads `nodetool info`: a name, a colon, a value; units stand in the name (`Uptime (seconds)`)."""
    pairs = (line.partition(":") for line in lines if ":" in line)
    return {name.strip(): value.strip() for name, _, value in pairs if name.strip()}


def parse_versions(lines: Sequence[str]) -> dict[str, list[str]]:
    """Reads the schema versions of `nodetool describecluster`: a version and the nodes that have it."""
    rows = (re.fullmatch(r"\s*([0-9a-f-]{36}|UNREACHABLE): \[(.*)\]\s*", line) for line in lines)
    return {row[1]: [name.strip() for name in row[2].split(",") if name.strip()] for row in rows if row}


def parse_snapshots(lines: Sequence[str]) -> set[str]:
    """The tags that `nodetool listsnapshots` shows, below its heading."""
    heading = next((number for number, line in enumerate(lines) if line.startswith("Snapshot name")), len(lines))
    rows = [line.split() for line in lines[heading + 1 :]]
    return {row[0] for row in rows if len(row) >= 5}


def json_rows(lines: Sequence[str]) -> list[dict[str, Any]]:
    """The rows of a `SELECT JSON` as cqlsh prints them: one object a line, among headings and counts.

    Raises:
        ValueError: a line begins like an object and is none.
    """
    found = []
    for line in lines:
        if line.strip().startswith("{"):
            value = json.loads(line)
            found.append(value)
    return found


def table_rows(lines: Sequence[str]) -> list[dict[str, str]]:
    """The rows of a table as cqlsh draws it: names, a rule of dashes, and cells between bars, up to an empty line."""
    for number, line in enumerate(lines):
        if number and re.fullmatch(r"-[-+]+", line):
            names = [name.strip() for name in lines[number - 1].split("|")]
            rows = []
            for row in lines[number + 1 :]:
                if not row.strip():
                    break
                rows.append(dict(zip(names, (cell.strip() for cell in row.split("|")), strict=False)))
            return rows
    return []


class ScyllaStatus(FactBase[list[Node]]):
    """What the node thinks of its cluster; empty where none runs."""

    @override
    def command(self) -> str:
        return "if systemctl is-active --quiet scylla-server.service; then nodetool status 2>/dev/null; fi; true"

    @staticmethod
    @override
    def default() -> list[Node]:
        return []

    @override
    def process(self, output: list[str]) -> list[Node]:
        return parse_status(output)


class ScyllaVersion(FactBase[str]):
    """The version of the installed server, empty where there is none."""

    @override
    def command(self) -> str:
        return "dpkg-query -W -f='${db:Status-Status} ${Version}\\n' scylla-server 2>/dev/null; true"

    @staticmethod
    @override
    def default() -> str:
        return ""

    @override
    def process(self, output: list[str]) -> str:
        rows = [line.split() for line in output]
        return next((row[1] for row in rows if row[:1] == ["installed"] and len(row) == 2), "")


@dataclass(frozen=True)
class NodeState:
    """What is particular to this node.

    Attributes:
        running: the server does.
        measured: its disk was, once (`scylla_io_setup`).
        stale: the server has run since before its files were last written.
        admin: who is let in as superuser: `ours`, `default` (cassandra, by its known password) or nobody.
    """

    running: bool = False
    measured: bool = False
    stale: bool = False
    admin: str = ""


class ScyllaNode(FactBase[NodeState]):
    """The node's own state, asked by the host's script."""

    @override
    def command(self) -> str:
        return f"if [ -x {KIT}/scylla-control ]; then {KIT}/scylla-control state 2>/dev/null; fi; true"

    @staticmethod
    @override
    def default() -> NodeState:
        return NodeState()

    @override
    def process(self, output: list[str]) -> NodeState:
        return parse_node(output)


def parse_node(lines: Sequence[str]) -> NodeState:
    """Reads words, a line each: `running`, `measured`, `stale`, `admin ours`."""
    words = [line.strip() for line in lines]
    admin = next((word.partition(" ")[2] for word in words if word.startswith("admin ")), "")
    return NodeState("running" in words, "measured" in words, "stale" in words, admin)


@dataclass(frozen=True)
class Schema:
    """Keyspaces with their replication, tables with their compaction, roles with what they may do.

    Attributes:
        keyspaces: name to replication (text to text) and durable writes.
        tables: keyspace and table to compaction.
        roles: name to whether it is a superuser.
        permissions: role to keyspace to permissions on the whole of it.
        passwords: role to the SHA-256 of the password that it was last given.
        repaired: keyspace to the replication that its last repair here was for.
    """

    keyspaces: dict[str, tuple[dict[str, str], bool]] = field(default_factory=dict)
    tables: dict[tuple[str, str], dict[str, str]] = field(default_factory=dict)
    roles: dict[str, bool] = field(default_factory=dict)
    permissions: dict[str, dict[str, set[str]]] = field(default_factory=dict)
    passwords: dict[str, str] = field(default_factory=dict)
    repaired: dict[str, str] = field(default_factory=dict)


class ScyllaSchema(FactBase[Schema | None]):
    """The schema by the node's own cqlsh; None where none runs, or the admin is not let in."""

    @override
    def command(self) -> str:
        return f"if [ -x {KIT}/scylla-control ]; then {KIT}/scylla-control schema 2>/dev/null; fi; true"

    @staticmethod
    @override
    def default() -> Schema | None:
        return None

    @override
    def process(self, output: list[str]) -> Schema | None:
        return parse_schema(output)


def parse_schema(lines: Sequence[str]) -> Schema | None:
    """Reads sections that begin with `== NAME`; None where the last one, `== end`, is not there."""
    parts: dict[str, list[str]] = {}
    name = ""
    for line in lines:
        if line.startswith("== "):
            name = line[3:].strip()
            parts[name] = []
        elif name:
            parts[name].append(line)
    if "end" not in parts:
        return None
    keyspaces = {
        row["keyspace_name"]: (dict(row["replication"]), bool(row["durable_writes"]))
        for row in json_rows(parts.get("keyspaces", []))
    }
    tables = {
        (row["keyspace_name"], row["table_name"]): {key: str(value) for key, value in row["compaction"].items()}
        for row in json_rows(parts.get("tables", []))
    }
    roles = {row["role"]: row.get("super") == "True" for row in table_rows(parts.get("roles", []))}
    return Schema(
        keyspaces,
        tables,
        roles,
        _permissions(table_rows(parts.get("permissions", []))),
        _pairs(parts.get("passwords", [])),
        _pairs(parts.get("repaired", [])),
    )


def _permissions(rows: list[dict[str, str]]) -> dict[str, dict[str, set[str]]]:
    """Of `<keyspace NAME>`; permissions on single tables or on everything have resources of other words."""
    found: dict[str, dict[str, set[str]]] = {}
    for row in rows:
        match = re.fullmatch(r"<(keyspace (?P<name>\S+)|all keyspaces)>", row.get("resource", ""))
        if match:
            of_role = found.setdefault(row["role"], {})
            of_role.setdefault(match["name"] or "*", set()).add(row["permission"])
    return found


def _pairs(lines: list[str]) -> dict[str, str]:
    rows = [line.split(" ", 1) for line in lines]
    return {row[0]: row[1].strip() for row in rows if len(row) == 2}
