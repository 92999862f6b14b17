"""Hosts, reached and driven through pyinfra. The one module that touches pyinfra's internals, gevent and paramiko.

pyinfra's state is global to the process and knows one pass: prepare, then execute. A `Fleet` keeps the connections and
makes a fresh pyinfra state for each pass, so that batches, gates and verification can stand between them. Written for
pyinfra 3.10; each use of what is not its published API says so.
"""

from __future__ import annotations

import pyinfra_cli  # noqa: F401  first: importing it patches the standard library for gevent

# isort: split
import logging
import shlex
from collections.abc import Callable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol

import paramiko
import pyinfra
from pyinfra.api import Config, Host, Inventory, State
from pyinfra.api.connect import connect_all
from pyinfra.api.exceptions import PyinfraError
from pyinfra.api.operations import run_ops
from pyinfra.api.state import BaseStateCallback, StateStage
from pyinfra.context import ctx_config, ctx_host, ctx_inventory, ctx_state
from pyinfra_cli.util import exec_file
from typing_extensions import override

from mainstay import ssh
from mainstay.errors import HostError
from mainstay.inventory import Environment
from mainstay.outcome import FleetOutcome, HostOutcome, OpOutcome
from mainstay.plan_notes import IRREVERSIBLE, notes_of

# pyinfra narrates to its own logger; Mainstay has its own output, and masks it.
logging.getLogger("pyinfra").addHandler(logging.NullHandler())
logging.getLogger("pyinfra").propagate = False
logging.getLogger("paramiko").setLevel(logging.CRITICAL)


class Observer(Protocol):
    """Told what happens while it happens; a progress bar, or plain lines."""

    def host_op(self, host: str, op: str, status: str) -> None:
        """`status` is `start`, `ok` or `failed`."""


def marker(run_id: str | None) -> str:
    """What commands of a run begin with, so that a host can tell which of its processes work for which run."""
    return f": mainstay-run={run_id}; " if run_id else ""


class Fleet:
    """The chosen hosts of an environment, connected for as long as the `with` block lasts.

    Hosts that cannot be reached are in `unreachable` (name to reason) and take no part.
    """

    def __init__(self, environment: Environment, names: list[str], run_id: str | None = None) -> None:
        self.environment = environment
        self.names = names
        self.run_id = run_id
        self.unreachable: dict[str, str] = {}
        # Asked before each operation of each host while applying: a sentence ends that host's work there.
        self.halt: Callable[[str], str] = lambda _: ""
        self._clients: dict[str, Any] = {}

    def __enter__(self) -> Fleet:
        self.connect()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def connect(self, names: list[str] | None = None) -> None:
        """Connects every host (of `names`) that is not connected, side by side; first contact as the image's user."""
        missing = [name for name in names or self.names if not self._alive(name)]
        for first_contact in (False, True):
            if not missing:
                break
            state = self._state(missing, first_contact=first_contact)
            refused = _ConnectErrors()
            state.add_callback_handler(refused)
            state.set_stage(StateStage.Connect)
            try:
                connect_all(state)
            except PyinfraError:
                pass  # "No hosts remaining": each host's own reason is in `refused`
            for host in state.inventory:
                if host.connected:
                    self._clients[host.name] = _connector(host).client
                    self.unreachable.pop(host.name, None)
                elif not first_contact or host.name not in self.unreachable:
                    self.unreachable[host.name] = refused.reasons.get(host.name, "no connection")
            # Only who is there but does not know the operator yet is asked again, as the image's user.
            missing = [n for n in missing if "Authentication error" in self.unreachable.get(n, "")]

    def close(self) -> None:
        """Closes every socket; pyinfra's own disconnect leaves them open."""
        for client in self._clients.values():
            client.close()
        self._clients.clear()

    def drop(self, name: str) -> None:
        """Ends the connection to one host: what waits for an answer on it fails now; `connect` makes a new one."""
        client = self._clients.get(name)
        transport = client.get_transport() if client else None
        if transport is not None:
            transport.close()  # not client.close(): pyinfra would then trip over a client without a transport

    def plan(self, deploy: Path, observer: Observer | None = None, names: list[str] | None = None) -> FleetOutcome:
        """What `deploy` would change on each host (on `names` only, where given); reads only."""
        return self._pass(deploy, observer, names or self.names, execute=False)

    def apply(self, deploy: Path, observer: Observer | None = None, names: list[str] | None = None) -> FleetOutcome:
        """Brings each host (of `names`, where given) to what `deploy` says; one that fails stops, the others go on."""
        return self._pass(deploy, observer, names or self.names, execute=True)

    def shell(self, name: str, command: str, stdin: str = "", timeout: float = 60) -> str:
        """Standard output of one command run as root on one host.

        Raises:
            HostError: the host is not connected, the command failed, or it took longer than `timeout` seconds.
        """
        client = self._clients.get(name)
        if client is None:
            raise HostError(name, self.unreachable.get(name, "not connected"))
        try:
            return ssh.execute(client, name, command, stdin=stdin, timeout=timeout)
        except (OSError, EOFError, paramiko.SSHException) as error:
            raise HostError(name, f"the connection broke: {error or type(error).__name__}") from error

    def channel(self, name: str) -> paramiko.Channel:
        """A raw session on the connection to one host, for what must stay open (the lease).

        Raises:
            HostError: the host is not connected.
        """
        client = self._clients.get(name)
        if client is None:
            raise HostError(name, self.unreachable.get(name, "not connected"))
        channel: paramiko.Channel = client.get_transport().open_session()
        return channel

    def _alive(self, name: str) -> bool:
        client = self._clients.get(name)
        transport = client.get_transport() if client else None
        return bool(transport and transport.is_active())

    def _state(self, names: list[str], *, first_contact: bool = False, check: bool = True) -> State:
        """A fresh pyinfra state over `names`; the process-wide contexts point to it from here on."""
        pyinfra.is_cli = True  # the API path merges operations of different hosts by index
        data = [(name, self._data(name, first_contact)) for name in names]
        roles: dict[str, Any] = {}
        for name in names:
            for role in self.environment.hosts[name].roles:
                roles.setdefault(role, ([], {}))[0].append(name)
        state = State(check_for_changes=check)
        state.cwd = str(Path.cwd())
        config = Config(FAIL_PERCENT=None, CONNECT_TIMEOUT=10)
        ctx_state.set(state)
        ctx_config.set(config)
        inventory = Inventory((data, {}), **roles)
        ctx_inventory.set(inventory)
        state.init(inventory, config)
        config.lock_current_state()
        return state

    def _data(self, name: str, first_contact: bool) -> dict[str, Any]:
        data = ssh.host_data(self.environment, self.environment.hosts[name], first_contact=first_contact)
        data["mainstay_run"] = self.run_id
        return data

    def alive(self, name: str) -> bool:
        """Whether the connection to the host stands, as far as this side knows."""
        return self._alive(name)

    def _pass(self, deploy: Path, observer: Observer | None, wanted: list[str], *, execute: bool) -> FleetOutcome:
        outcome = FleetOutcome({name: HostOutcome(name) for name in wanted})
        names = [name for name in wanted if self._alive(name)]
        for name in wanted:
            if name not in names:
                reason = self.unreachable.get(name, "the connection broke")
                outcome.hosts[name] = HostOutcome(name, reachable=False, error=f"not reachable: {reason}")
        if not names:
            return outcome
        state = self._state(names, check=not execute)
        for host in state.inventory:
            _connector(host).client, host.connected = self._clients[host.name], True
            state.activate_host(host)
        state.set_stage(StateStage.Prepare)
        self._prepare(state, deploy, outcome)
        if execute:
            _guard_generators(state, outcome, self)
            if observer:
                state.add_callback_handler(_Relay(observer))
            state.set_stage(StateStage.Execute)
            try:
                run_ops(state)
            except PyinfraError:
                pass  # every host failed; each one's reason is in its own operations
        _collect(state, outcome, executed=execute)
        return outcome

    def _prepare(self, state: State, deploy: Path, outcome: FleetOutcome) -> None:
        """Evaluates the entry file once a host, side by side; a host whose evaluation fails leaves alone."""
        state.current_deploy_filename = str(deploy)

        def evaluate(host: Host) -> None:
            try:
                with ctx_config.use(state.config.copy()), ctx_host.use(host):
                    exec_file(str(deploy))
            except Exception as error:  # whatever the operator's deploy raises belongs to this host
                outcome.hosts[host.name].error = _sentence(error)

        hosts = list(state.inventory.get_active_hosts())
        for greenlet in [state.pool.spawn(evaluate, host) for host in hosts]:
            greenlet.get()
        broken = {host for host in hosts if outcome.hosts[host.name].error}
        state.active_hosts -= broken
        state.failed_hosts |= broken


class _ConnectErrors(BaseStateCallback):
    """Why each host could not be connected to."""

    def __init__(self) -> None:
        self.reasons: dict[str, str] = {}

    @override
    def host_connect_error(self, state: State, host: Host, error: Exception) -> None:  # type: ignore[override]
        self.reasons[host.name] = str(error.args[0] if error.args else error)


class _Relay(BaseStateCallback):
    """Passes pyinfra's callbacks on to an observer."""

    def __init__(self, observer: Observer) -> None:
        self.observer = observer

    @override
    def operation_host_start(self, state: State, host: Host, op_hash: str) -> None:  # type: ignore[override]
        if op_hash in state.ops[host]:
            self.observer.host_op(host.name, _name(state, op_hash), "start")

    @override
    def operation_host_success(self, state: State, host: Host, op_hash: str, retry_count: int = 0) -> None:  # type: ignore[override]
        self.observer.host_op(host.name, _name(state, op_hash), "ok")

    @override
    def operation_host_error(  # type: ignore[override]
        self, state: State, host: Host, op_hash: str, retry_count: int = 0, max_retries: int = 0
    ) -> None:
        self.observer.host_op(host.name, _name(state, op_hash), "failed")


def _connector(host: Host) -> Any:
    """pyinfra's SSH connector of the host; its base class does not know the paramiko client it holds."""
    return host.connector


def _guard_generators(state: State, outcome: FleetOutcome, fleet: Fleet) -> None:
    """A Python exception in one host's operation would end the run for all hosts: make it that host's failure."""
    for host, ops in state.ops.items():
        for op_hash, data in ops.items():
            data.command_generator = _guarded(data.command_generator, host, op_hash, outcome, fleet)


def _guarded(
    generator: Callable[[], Iterator[Any]], host: Host, op_hash: str, outcome: FleetOutcome, fleet: Fleet
) -> Callable[[], Iterator[Any]]:
    def commands() -> Iterator[Any]:
        reason = fleet.halt(host.name)
        if reason:
            outcome.hosts[host.name].error = reason
            yield pyinfra.api.StringCommand("false")
            return
        try:
            yield from _of_run(generator(), fleet.run_id, host.name, op_hash)
        except Exception as error:
            outcome.hosts[host.name].error = _sentence(error)
            yield pyinfra.api.StringCommand("false")

    return commands


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


def _collect(state: State, outcome: FleetOutcome, *, executed: bool) -> None:
    order = state.get_op_order()
    for host in state.inventory:
        record = outcome.hosts[host.name]
        for op_hash in order:
            data = state.ops[host].get(op_hash)
            if data is None or (executed and not data.operation_meta.is_complete()):
                continue
            record.ops.append(_op_outcome(state, host, op_hash, executed))
        if host in state.failed_hosts and record.ok:
            record.error = "a question about the host failed, so nothing was decided from it"


def _op_outcome(state: State, host: Host, op_hash: str, executed: bool) -> OpOutcome:
    meta = state.ops[host][op_hash].operation_meta
    notes = notes_of(host.name, op_hash)
    if not executed:
        return OpOutcome(_name(state, op_hash), changed=bool(meta.will_change), notes=notes)
    ok = meta.did_succeed()
    output = "" if ok else "\n".join(meta.stdout_lines + meta.stderr_lines)
    return OpOutcome(_name(state, op_hash), changed=meta.did_change(), ok=ok, notes=notes, output=output)


def _name(state: State, op_hash: str) -> str:
    return ", ".join(sorted(state.get_op_meta(op_hash).names))


def _sentence(error: BaseException) -> str:
    """pyinfra wraps what a deploy raises; the operator wants the sentence that was meant."""
    inner = getattr(error, "exception", None) or error.__cause__ or error
    return str(inner) or type(inner).__name__
