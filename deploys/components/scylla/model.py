"""What the `scylla` section adds to an environment: the ports that are opened, and what is refused."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from deploys.components.scylla import signing, sizing
from deploys.components.scylla.section import ADMIN, ROLES, Section, section
from mainstay.inventory import Environment, Host, Listener, MemoryShare, Problem
from mainstay.inventory.fields import format_size

__all__ = ["ROLES", "Section", "check", "listeners", "memory", "section"]

OWN_ROLES = ("cassandra", ADMIN)


def clients(env: Environment) -> list[str]:
    """The inventory's roles whose hosts connect: those that run programs, and other nodes, to see who has joined."""
    return sorted({service.role for service in env.services.values() if service.kind != "static"} | ROLES)


def listeners(env: Environment, host: Host) -> list[Listener]:
    """CQL for hosts that run services; nodes among themselves; its API on loopback."""
    if "scylla" not in host.roles:
        return []
    own = section(env)
    found = [
        Listener(own.cql_port, "scylla (cql)", "private", tuple(clients(env)), ("scylla", "cql_port")),
        Listener(own.node_port, "scylla (nodes)", "private", ("scylla",), ("scylla", "node_port")),
        Listener(own.api_port, "scylla (api)", "loopback", (), ("scylla", "api_port")),
    ]
    watched = ("monitoring",) if env.hosts_of("monitoring") else ()
    found.append(Listener(own.metrics_port, "scylla (metrics)", "private", watched, ("scylla", "metrics_port")))
    return found


def memory(env: Environment, host: Host) -> list[MemoryShare]:
    """What a node takes when it starts, and never gives back."""
    return [MemoryShare("scylla --memory", 1, sizing.memory(host))] if "scylla" in host.roles else []


def key_path(env: Environment, own: Section) -> Path | None:
    """The file of the key that signs the packages; None where there is no source."""
    return env.root / "inventories" / env.system / own.source.key if own.source else None


def check(env: Environment) -> list[Problem]:
    """Nodes are there and large enough, copies fit their number, and the key is the one that is named."""
    if not sizing.nodes(env):
        return [env.problem(("scylla",), "the section and no host with role scylla", "such a host")]
    own = section(env)
    return [*_hosts(env, own), *_keyspaces(env, own), *_roles(env, own), *_key(env, own)]


def _hosts(env: Environment, own: Section) -> Iterator[Problem]:
    names = [host.name for host in sizing.nodes(env)]
    named = {"places": list(own.places), "seeds": own.seeds, "replaces": list(own.replaces)}
    for key, given in named.items():
        for index, name in enumerate(given):
            if name not in names:
                at = index if key == "seeds" else name
                yield env.problem(("scylla", key, at), repr(name), f"one of {', '.join(names)}")
    if own.replaces and all(host.name in own.replaces for host in sizing.seeds(env, own)):
        found = f"{', '.join(own.replaces)}, and no seed beside"
        yield env.problem(("scylla", "replaces"), found, "a seed that is alive: it tells a node whose place it takes")
    for host in sizing.nodes(env):
        each = sizing.memory(host) // sizing.cores(host)
        if each < sizing.LEAST_A_CORE and not own.developer_mode:
            found = f"{format_size(host.memory)} for {host.cores} cores, {each >> 20} MiB for each that Scylla uses"
            yield env.problem(("hosts", host.name, "memory"), found, "1 GiB for each at least (scylla.developer_mode)")


def _keyspaces(env: Environment, own: Section) -> Iterator[Problem]:
    there = sizing.nodes_in(env, own)
    for name, keyspace in own.keyspaces.items():
        key = ("scylla", "keyspaces", name)
        if name.startswith("system"):
            yield env.problem(key, repr(name), "a name that Scylla does not use itself")
        for datacenter, count in keyspace.replicas.items():
            if datacenter not in there:
                expected = f"one of {', '.join(there)}"
                yield env.problem((*key, "replicas", datacenter), f"the datacentre {datacenter!r}", expected)
            elif count > there[datacenter]:
                found = f"{count} copies on {there[datacenter]} nodes"
                expected = f"{there[datacenter]} at most, one a node (DF-82)"
                yield env.problem((*key, "replicas", datacenter), found, expected)


def _roles(env: Environment, own: Section) -> Iterator[Problem]:
    for name, role in own.roles.items():
        key = ("scylla", "roles", name)
        if name in OWN_ROLES:
            yield env.problem(key, f"the role {name}", f"another name: {' and '.join(OWN_ROLES)} are the component's")
        for keyspace in role.keyspaces:
            if keyspace not in own.keyspaces:
                yield env.problem((*key, "keyspaces", keyspace), repr(keyspace), "one of scylla.keyspaces")


def _key(env: Environment, own: Section) -> Iterator[Problem]:
    path = key_path(env, own)
    if path is None or own.source is None:
        return
    key = ("scylla", "source", "key")
    try:
        found = signing.fingerprints(path.read_text(encoding="ascii", errors="replace"))
    except OSError:
        yield env.problem(key, f"no file inventories/{env.system}/{own.source.key}", "the public key there")
        return
    except ValueError as error:
        yield env.problem(key, str(error), "an ASCII-armoured public key")
        return
    if found != [own.source.fingerprint]:
        expected = f"{own.source.fingerprint}, and no other key beside it"
        yield env.problem(("scylla", "source", "fingerprint"), ", ".join(found), expected)
