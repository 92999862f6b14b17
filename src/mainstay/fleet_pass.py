"""One pass of pyinfra over connected hosts: evaluate a deploy on each, then plan or run what it declared.

With `mainstay.fleet`, the only code that touches pyinfra's internals; written for pyinfra 3.10. pyinfra itself runs an
operation on all hosts before the next one begins. Here each host runs its own operations in its own order, so that a
database that installs does not hold up a web server; they wait for each other only at `AHEAD` and `TOGETHER`.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Protocol

import gevent
import pyinfra
from gevent.event import Event
from gevent.pool import Pool
from pyinfra.api import Config, Host, Inventory, State
from pyinfra.api.operations import run_host_op
from pyinfra.api.state import StateStage
from pyinfra.context import ctx_config, ctx_host, ctx_inventory, ctx_state
from pyinfra_cli.util import exec_file

from mainstay.context import AHEAD, TOGETHER
from mainstay.hostkit import marker
from mainstay.outcome import FleetOutcome, OpOutcome
from mainstay.plan_notes import IRREVERSIBLE, notes_of
from mainstay.transport.connector import connector_of
from mainstay.transport.shipment import Load, Shipment, Undelivered

# Operations of one host that are decided at the same time: enough to fill a round, few enough for a fleet's memory.
SIDE_BY_SIDE = 24
UNDECIDED = "a question about the host failed, so nothing was decided from it"


class Observer(Protocol):
    """Told what happens while it happens; a progress bar, or plain lines."""

    def host_op(self, host: str, op: str, status: str) -> None:
        """`status` is `start`, `ok` or `failed`."""


def state_over(hosts: list[tuple[str, dict[str, Any]]], groups: Mapping[str, Any] | None = None) -> State:
    """A fresh pyinfra state over hosts and their data; the process-wide contexts point to it from here on."""
    pyinfra.is_cli = True  # the API path merges operations of different hosts by index
    state = State(check_for_changes=False)  # `Pass.decide` does, side by side
    state.cwd = str(Path.cwd())
    config = Config(FAIL_PERCENT=None, CONNECT_TIMEOUT=10)
    ctx_state.set(state)
    ctx_config.set(config)
    inventory = Inventory((hosts, {}), **(groups or {}))
    ctx_inventory.set(inventory)
    state.init(inventory, config)
    config.lock_current_state()
    return state


class Pass:
    """One evaluation of a deploy over the hosts of `state`; what comes of it goes into `outcome`.

    Args:
        state: prepared to the stage Connect, every host connected and active.
        halt: asked before each operation of each host; a sentence ends that host's work there.
    """

    def __init__(self, state: State, outcome: FleetOutcome, run_id: str | None, halt: Callable[[str], str]) -> None:
        self.state = state
        self.outcome = outcome
        self.run_id = run_id
        self.halt = halt

    def prepare(self, deploy: Path) -> None:
        """Evaluates the entry file once a host, side by side; a host whose evaluation fails leaves alone."""
        self.state.set_stage(StateStage.Prepare)
        self.state.current_deploy_filename = str(deploy)

        def evaluate(host: Host) -> None:
            try:
                with ctx_config.use(self.state.config.copy()), ctx_host.use(host):
                    exec_file(str(deploy))
            except Exception as error:  # whatever the operator's deploy raises belongs to this host
                self.outcome.hosts[host.name].error = _sentence(error)

        hosts = list(self.state.inventory.get_active_hosts())
        gevent.joinall([self.state.pool.spawn(evaluate, host) for host in hosts], raise_error=True)
        self._leave_out_broken()

    def decide(self) -> None:
        """Finds out for each operation whether it would change anything: those of a host side by side, too.

        They wait for answers together, so that a host of which nothing is known yet is asked in as many rounds as one
        operation has questions, and not one by one.
        """

        def of_host(host: Host) -> None:
            pool = Pool(SIDE_BY_SIDE)
            for op_hash in host.op_hash_order:
                pool.spawn(self._decide, host, op_hash)
            pool.join()

        hosts = list(self.state.inventory.get_active_hosts())
        gevent.joinall([self.state.pool.spawn(of_host, host) for host in hosts], raise_error=True)
        self._leave_out_broken()

    def _decide(self, host: Host, op_hash: str) -> None:
        data = self.state.ops[host].get(op_hash)
        if data is None:
            return
        try:
            with ctx_config.use(self.state.config.copy()), ctx_host.use(host):
                data.operation_meta.will_change  # noqa: B018  pyinfra decides when it is asked
        except Exception as error:  # as in `prepare`
            record = self.outcome.hosts[host.name]
            record.error = record.error or _sentence(error)

    def _leave_out_broken(self) -> None:
        broken = {host for host in self.state.active_hosts if self.outcome.hosts[host.name].error}
        self.state.active_hosts -= broken
        self.state.failed_hosts |= broken

    def execute(self, observer: Observer | None) -> None:
        """Runs every host's operations, side by side; a host stops at its first failure, the others go on."""
        self.state.set_stage(StateStage.Execute)
        self.state.is_executing = True
        for host, ops in self.state.ops.items():
            for op_hash, data in ops.items():
                data.command_generator = self._guarded(data, host, op_hash)
        hosts = list(self.state.inventory.get_active_hosts())
        together = {name: _Together(sum(self._has(host, name) for host in hosts)) for name in (AHEAD, TOGETHER)}

        def work(host: Host) -> None:
            try:
                with ctx_host.use(host):
                    self._run(host, observer, together)
            except Exception as error:  # a connection that was closed under an operation (EOFError) is this host's
                record = self.outcome.hosts[host.name]
                record.error = record.error or f"the connection broke: {_sentence(error)}"
                self.state.failed_hosts.add(host)
            finally:
                for name, one in together.items():
                    if self._has(host, name):
                        one.leave()

        # A greenlet a host, not the state's pool: a host that waits for the others must not hold the place of one.
        gevent.joinall([gevent.spawn(work, host) for host in hosts], raise_error=True)

    def _has(self, host: Host, name: str) -> bool:
        return any(_name(self.state, op_hash) == name for op_hash in host.op_hash_order)

    def _run(self, host: Host, observer: Observer | None, together: dict[str, _Together]) -> None:
        for op_hash in host.op_hash_order:
            name = _name(self.state, op_hash)
            if name in together:
                together[name].wait()
                self._heed_others(host)
            if observer:
                observer.host_op(host.name, name, "start")
            ok = run_host_op(self.state, host, op_hash)
            if observer:
                observer.host_op(host.name, name, "ok" if ok else "failed")
            if not ok:
                self.state.failed_hosts.add(host)
                return

    def _heed_others(self, host: Host) -> None:
        """What others changed while they were waited for may show on this host; where none did, it is as it was."""
        until = [connector_of(one).changed_until for one in self.state.inventory if one is not host]
        knowledge = connector_of(host).knowledge
        if knowledge is not None and until:
            knowledge.changed_elsewhere(max(until))

    def collect(self, *, executed: bool) -> None:
        """Puts what each operation did, or would do, into the outcome."""
        for host in self.state.inventory:
            record = self.outcome.hosts[host.name]
            for op_hash in host.op_hash_order:
                data = self.state.ops[host].get(op_hash)
                if data is None or (executed and not data.operation_meta.is_complete()):
                    continue
                record.ops.append(self._op(host, op_hash, executed=executed))
            if host in self.state.failed_hosts and record.ok:
                record.error = UNDECIDED

    def _op(self, host: Host, op_hash: str, *, executed: bool) -> OpOutcome:
        meta = self.state.ops[host][op_hash].operation_meta
        name, notes = _name(self.state, op_hash), notes_of(host.name, op_hash)
        if not executed:
            return OpOutcome(name, changed=bool(meta.will_change), notes=notes)
        ok = meta.did_succeed()
        output = "" if ok else "\n".join(meta.stdout_lines + meta.stderr_lines)
        return OpOutcome(name, changed=meta.did_change(), ok=ok, notes=notes, output=output)

    def _guarded(self, data: Any, host: Host, op_hash: str) -> Callable[[], Iterator[Any]]:
        """A Python exception in one host's operation would end the run for all hosts: make it that host's failure."""
        generator = data.command_generator

        def commands() -> Iterator[Any]:
            record = self.outcome.hosts[host.name]
            reason = self.halt(host.name)
            if reason:
                record.error = reason
                yield pyinfra.api.StringCommand("false")
                return
            try:
                with Load(host, data.global_arguments) as load:
                    yield from _sent_together(load, _of_run(generator(), self.run_id, host.name, op_hash), host)
            except Undelivered as error:
                yield Shipment([], error.output, failed=True)
            except Exception as error:
                record.error = _sentence(error)
                yield pyinfra.api.StringCommand("false")

        return commands


def _sent_together(load: Load, commands: Iterator[Any], host: Host) -> Iterator[Any]:
    for command in commands:
        if load.takes(command):
            continue
        yield from load.rest()
        yield command
        if not isinstance(command, pyinfra.api.StringCommand):
            connector_of(host).changed()  # it may have gone its own way to the host
    yield from load.rest()


class _Together:
    """Where those hosts wait for each other that have it: opens once each of them that still works has come."""

    def __init__(self, working: int) -> None:
        self.working = working
        self.waiting = 0
        self.open = Event()

    def wait(self) -> None:
        self.waiting += 1
        self._look()
        self.open.wait()

    def leave(self) -> None:
        """A host has ended, well or not: nobody waits for it."""
        self.working -= 1
        self._look()

    def _look(self) -> None:
        if self.waiting >= self.working:
            self.open.set()


def _of_run(commands: Iterator[Any], run_id: str | None, name: str, op_hash: str) -> Iterator[Any]:
    """The commands, marked with their run; what cannot be undone is written down on the host before it is done."""
    first = True
    for command in commands:
        if run_id and first:
            for text in [note.text for note in notes_of(name, op_hash) if note.subject == IRREVERSIBLE]:
                kept = f"/var/lib/mainstay/journal/{run_id}/irreversible"
                yield pyinfra.api.StringCommand(f"printf '%s\\n' {shlex.quote(text)} >> {kept}")
        first = False
        if run_id and isinstance(command, pyinfra.api.StringCommand):
            yield pyinfra.api.StringCommand(marker(run_id).strip(), command, **command.connector_arguments)
        else:
            yield command


def _name(state: State, op_hash: str) -> str:
    return ", ".join(sorted(state.get_op_meta(op_hash).names))


def _sentence(error: BaseException) -> str:
    """pyinfra wraps what a deploy raises; the operator wants the sentence that was meant."""
    inner = getattr(error, "exception", None) or error.__cause__ or error
    if "No hosts remaining" in str(inner):  # what pyinfra says when a fact of the last host failed
        return UNDECIDED
    return str(inner) or type(inner).__name__
