"""From a schema as it is to one as the inventory says: CQL statements, and a sentence for each. Pure."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from deploys.components.scylla.section import ADMIN, Compaction, Keyspace, Section
from facts.scylla import Schema

STRATEGY = "NetworkTopologyStrategy"


@dataclass(frozen=True)
class Change:
    """One or more statements, what they are about and what they do; `cql` may hold a password, `says` never does."""

    subject: str
    says: str
    cql: str
    pending: bool = False
    """Nothing is sent: it is wanted, and waits for somebody else."""


def changes(own: Section, found: Schema, reveal: Callable[[str], str]) -> list[Change]:
    """Everything that differs, in an order in which each finds what it needs.

    Args:
        own: what is wanted.
        found: what is there.
        reveal: a secret's value by its name.
    """
    return [*_keyspaces(own, found), *_tables(own, found), *_roles(own, found, reveal)]


def _keyspaces(own: Section, found: Schema) -> Iterator[Change]:
    for name, keyspace in own.keyspaces.items():
        wanted = f"replication = {replication(keyspace)} AND durable_writes = {_bool(keyspace.durable_writes)}"
        there = found.keyspaces.get(name)
        if there is None:
            cql = f"CREATE KEYSPACE IF NOT EXISTS {quoted(name)} WITH {wanted} AND tablets = {{'enabled': false}};"
            yield Change(name, f"create the keyspace: {copies(keyspace)}", cql)
            continue
        if same_replication(keyspace, there[0]) and keyspace.durable_writes == there[1]:
            continue
        says = f"{_short(there[0].get('class', '?'))} -> {copies(keyspace)}"
        if same_replication(keyspace, there[0]):
            says = f"durable_writes {_bool(there[1])} -> {_bool(keyspace.durable_writes)}"
        yield Change(name, says, f"ALTER KEYSPACE {quoted(name)} WITH {wanted};")


def due_for_repair(own: Section, found: Schema) -> list[str]:
    """Keyspaces that this node has repaired for another replication than the one in force (DF-82), a sentence each.

    A keyspace that was never repaired has its timer; one that was, and then got more copies, has empty ones.
    """
    due = []
    for name in own.keyspaces:
        there, last = found.keyspaces.get(name), found.repaired.get(name)
        if there is not None and last is not None and last != fingerprint(there[0]):
            due.append(name)
    return due


def fingerprint(there: dict[str, str]) -> str:
    """A replication in one word, as scylla-control keeps it beside a repair."""
    text = ",".join(f"{key}={_short(str(value))}" for key, value in sorted(there.items()))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def replication(keyspace: Keyspace) -> str:
    """The map in CQL."""
    pairs = [f"'class': '{STRATEGY}'", *(f"'{name}': {count}" for name, count in keyspace.replicas.items())]
    return "{" + ", ".join(pairs) + "}"


def copies(keyspace: Keyspace) -> str:
    """In words."""
    return f"{STRATEGY}, " + ", ".join(f"{count} in {name}" for name, count in keyspace.replicas.items())


def same_replication(keyspace: Keyspace, there: dict[str, str]) -> bool:
    """Scylla keeps the strategy by its full name and counts as text."""
    given = {name: str(value) for name, value in there.items() if name != "class"}
    wanted = {name: str(count) for name, count in keyspace.replicas.items()}
    return _short(there.get("class", "")) == STRATEGY and given == wanted


def _tables(own: Section, found: Schema) -> Iterator[Change]:
    for name, keyspace in own.keyspaces.items():
        for table, wanted in keyspace.tables.items():
            there = found.tables.get((name, table))
            subject = f"{name}.{table}"
            if there is None:
                yield Change(subject, "no such table yet: it gets its compaction once a service has made it", "", True)
            elif not same_compaction(wanted.compaction, there):
                says = f"{_short(there.get('class', '?'))} {_options(there)} -> {_said(wanted.compaction)}"
                cql = f"ALTER TABLE {quoted(name)}.{quoted(table)} WITH compaction = {compaction(wanted.compaction)};"
                yield Change(subject, says, cql)


def compaction(wanted: Compaction) -> str:
    """The map in CQL."""
    pairs = [f"'class': '{wanted.class_}'", *(f"'{name}': '{value}'" for name, value in wanted.options.items())]
    return "{" + ", ".join(pairs) + "}"


def same_compaction(wanted: Compaction, there: dict[str, str]) -> bool:
    """The class is there by its full name or its short one; numbers are compared as numbers."""
    given = {name: _number(value) for name, value in there.items() if name not in ("class", "enabled")}
    options = {name: _number(value) for name, value in wanted.options.items()}
    return _short(there.get("class", "")) == wanted.class_ and given == options


def _said(wanted: Compaction) -> str:
    return f"{wanted.class_} {_options(wanted.options)}"


def _options(options: dict[str, str]) -> str:
    given = [f"{name} {value}" for name, value in sorted(options.items()) if name not in ("class", "enabled")]
    return f"({', '.join(given)})" if given else "(no options)"


def _roles(own: Section, found: Schema, reveal: Callable[[str], str]) -> Iterator[Change]:
    for name, role in own.roles.items():
        value = reveal(role.password)
        login = f"WITH PASSWORD = {literal(value)} AND LOGIN = true AND SUPERUSER = false;"
        if name not in found.roles:
            yield Change(name, "create the role", f"CREATE ROLE IF NOT EXISTS {quoted(name)} {login}")
        elif found.roles[name] or found.passwords.get(name) != sha256(value):
            says = "no superuser any more" if found.roles[name] else "password differs"
            yield Change(name, says, f"ALTER ROLE {quoted(name)} {login}")
        held = found.permissions.get(name, {})
        for keyspace in sorted({*role.keyspaces, *held}):
            wanted = set(role.keyspaces.get(keyspace, []))
            yield from _grants(name, keyspace, sorted(wanted - held.get(keyspace, set())), "GRANT", "TO")
            yield from _grants(name, keyspace, sorted(held.get(keyspace, set()) - wanted), "REVOKE", "FROM")
    strange = sorted(set(found.roles) - {*own.roles, ADMIN, "cassandra"})
    for name in strange:
        yield Change(name, "a role that the inventory does not have: left, and yours to drop", "", True)


def _grants(role: str, keyspace: str, permissions: Sequence[str], verb: str, word: str) -> Iterator[Change]:
    resource = "ALL KEYSPACES" if keyspace == "*" else f"KEYSPACE {quoted(keyspace)}"
    if permissions:
        cql = " ".join(f"{verb} {one} ON {resource} {word} {quoted(role)};" for one in permissions)
        yield Change(role, f"{verb.lower()} {', '.join(permissions)} on {keyspace}", cql)


def quoted(name: str) -> str:
    """An identifier as CQL takes it whatever its letters."""
    return '"' + name.replace('"', '""') + '"'


def literal(text: str) -> str:
    """A text in CQL."""
    return "'" + text.replace("'", "''") + "'"


def sha256(value: str) -> str:
    """What is kept of a password on the host, root's alone."""
    return hashlib.sha256(value.encode()).hexdigest()


def _bool(value: bool) -> str:
    return "true" if value else "false"


def _short(name: str) -> str:
    return name.rpartition(".")[2]


def _number(text: str) -> float | str:
    try:
        return float(text)
    except ValueError:
        return text
