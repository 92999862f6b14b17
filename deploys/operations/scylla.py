"""ScyllaDB: nodes that join one at a time, and a schema that is what the inventory says."""

from __future__ import annotations

import shlex
from collections.abc import Generator

from pyinfra import host
from pyinfra.api import StringCommand, operation

from deploys.components.scylla import schema
from deploys.components.scylla.section import UNIT, Section
from deploys.operations.files import KIT
from facts.scylla import ScyllaNode, ScyllaSchema, ScyllaStatus, ScyllaVersion
from facts.units import UnitStates
from mainstay import context
from mainstay.plan_notes import irreversible, note
from mainstay.windows import restart_said


def control(*words: str) -> str:
    """The command line of the host's own script for ScyllaDB."""
    return shlex.join([f"{KIT}/scylla-control", *words])


@operation()
def versioned(wanted: str) -> Generator[str, None, None]:
    """Says that another version is installed than the one that is pinned: nodes are upgraded by hand, one by one."""
    found = host.get_fact(ScyllaVersion)
    if found and not found.startswith(f"{wanted}-"):
        note("scylla-server", f"{found} is installed, {wanted} wanted: upgrade node by node", pending=True)
    host.noop(f"scylla-server {found or 'is not installed yet'}")
    yield from ()


@operation()
def measured() -> Generator[str, None, None]:
    """Measures the disk once, before the first start: Scylla plans its reads and writes by it."""
    if host.get_fact(ScyllaNode).measured:
        host.noop("the disk was measured")
        return
    note("/etc/scylla.d/io_properties.yaml", "measure the disk")
    yield control("measure")


@operation()
def joined(nodes: int) -> Generator[str, None, None]:
    """Starts the node, which joins its cluster once every node before it has (SY-02); never restarts one that runs.

    Args:
        nodes: of the whole cluster.
    """
    state = host.get_fact(UnitStates, units=[UNIT]).get(UNIT)
    starts = state is None or state.active not in ("active", "activating", "reloading")
    enables = state is None or state.enabled != "enabled"
    if not starts and not enables:
        down = [f"{node.address} is {node.word}" for node in host.get_fact(ScyllaStatus) if node.word != "UN"]
        if down:
            note(UNIT, f"of {nodes} nodes: {', '.join(down)}")
        host.noop(f"{UNIT} runs")
        return
    note(UNIT, " and ".join(verb for verb, wanted in (("enable", enables), ("start", starts)) if wanted))
    if starts:
        irreversible("ScyllaDB node joined its cluster: it leaves by `nodetool decommission`")
    if run := context.run_id():
        yield shlex.join([f"{KIT}/journal", "unit", run, UNIT])
    if enables:
        yield shlex.join(["systemctl", "enable", "--quiet", UNIT])
    if starts:
        yield control("start")


@operation()
def settled(leave: tuple[str, str]) -> Generator[str, None, None]:
    """Restarts a node that runs with older files than those that stand, where there is leave and all others are up.

    Args:
        leave: why it may, or else when it may (`context.leave_to_restart`).
    """
    state = host.get_fact(ScyllaNode)
    if not state.running or not state.stale:
        host.noop("runs with the files that stand" if state.running else "does not run yet")
        return
    note("scylla.yaml", restart_said(leave), pending=not leave[0])
    if leave[0]:
        yield control("restart")


@operation()
def administered() -> Generator[str, None, None]:
    """Has our superuser in the place of `cassandra`, whose password everybody knows."""
    state = host.get_fact(ScyllaNode)
    if not state.running or state.admin == "ours":
        host.noop("the superuser is ours" if state.running else "no node runs yet")
        return
    said = {"default": "take the place of cassandra", "": "nobody is let in: neither ours nor cassandra"}
    note("superuser", said.get(state.admin, f"found {state.admin}"))
    yield control("admin")


@operation()
def defined(own: Section) -> Generator[StringCommand, None, None]:
    """Keyspaces, compaction, roles and permissions: what differs is sent by standard input, and nothing else."""
    found = host.get_fact(ScyllaSchema)
    if found is None:
        host.noop("no node answers yet")
        return
    reveal = context.current_environment().secrets.get
    wanted = schema.changes(own, found, lambda name: reveal(name).reveal())
    for change in wanted:
        note(change.subject, change.says, pending=change.pending)
    for name in schema.due_for_repair(own, found):
        told = "has other copies than when this node last repaired it: start mainstay-scylla-repair, node by node"
        note(name, told, pending=True)
    statements = [change.cql for change in wanted if not change.pending]
    if not statements:
        host.noop(f"{len(own.keyspaces)} keyspaces and {len(own.roles)} roles are as they should be")
        return
    irreversible(f"ScyllaDB schema: {len(statements)} statements; keyspaces, roles and settings of tables stay")
    given = {name: schema.sha256(reveal(role.password).reveal()) for name, role in own.roles.items()}
    lines = [f"-- password {name} {digest}" for name, digest in given.items()]
    yield StringCommand(control("cql"), _stdin="\n".join([*lines, *statements]) + "\n")
