"""Hosts, reached and driven through pyinfra. With `mainstay.fleet_pass`, all that touches its internals and gevent.

pyinfra's state is global to the process and knows one pass: prepare, then execute. A `Fleet` keeps the connections and
makes a fresh pyinfra state for each pass, so that batches, gates and verification can stand between them. Written for
pyinfra 3.10; each use of what is not its published API says so.
"""

from __future__ import annotations

import pyinfra_cli  # noqa: F401  first: importing it patches the standard library for gevent

# isort: split
import logging
import resource
import shlex
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any

import gevent
from pyinfra.api import Host, State
from pyinfra.connectors import util as connector_util

from mainstay import plan_notes, ssh
from mainstay.errors import HostError
from mainstay.fleet_pass import Observer, Pass, state_over
from mainstay.inventory import Environment, groups
from mainstay.outcome import FleetOutcome, HostOutcome
from mainstay.transport import connector, upstream
from mainstay.transport.knowledge import Knowledge
from mainstay.transport.link import Link, Unreachable
from mainstay.transport.memory import Memory, kind_of, recalled
from mainstay.transport.route import Route
from mainstay.transport.shell import DEADLINE_S, Shell, result
from mainstay.transport.streams import Stream

# Of each host at the same time: two sessions, each with three, and what its answers are kept in.
_FILES_A_HOST = 16

# pyinfra narrates to its own logger; Mainstay has its own output, and masks it.
logging.getLogger("pyinfra").addHandler(logging.NullHandler())
logging.getLogger("pyinfra").propagate = False
logging.getLogger("paramiko").setLevel(logging.CRITICAL)


def _nobody_to_ask(prompt: str) -> str:
    """pyinfra asks the terminal when sudo wants a password, and dies with everybody's run where there is none."""
    text = "sudo wants a password, expected an account that needs none"
    plan_notes.failure(text)
    raise OSError(text)


upstream.install()
connector_util.getpass = _nobody_to_ask  # type: ignore[assignment]


class Fleet:
    """The chosen hosts of an environment, connected for as long as the `with` block lasts.

    Hosts that cannot be reached are in `unreachable` (name to reason) and take no part. `allow_restart`: servers may be
    restarted for settings, outside of windows too. `deadline_s`: how long one command of an operation may take.
    """

    def __init__(
        self,
        environment: Environment,
        names: list[str],
        run_id: str | None = None,
        *,
        allow_restart: bool = False,
        deadline_s: float = DEADLINE_S,
    ) -> None:
        self.environment = environment
        self.names = names
        self.run_id = run_id
        self.allow_restart = allow_restart
        self.deadline_s = deadline_s
        self.unreachable: dict[str, str] = {}
        # Asked before each operation of each host while applying: a sentence ends that host's work there.
        self.halt: Callable[[str], str] = lambda _: ""
        self._links: dict[str, Link] = {}
        self._shells: dict[str, Shell] = {}

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
        hosts = self.environment.hosts
        lacking = {name: why for name in missing if (why := self.environment.lacking(hosts[name]))}
        self.unreachable |= lacking
        missing = [name for name in missing if name not in lacking]
        _allow_files(_FILES_A_HOST * len(self.names))
        ways = {
            name: [ssh.route(self.environment, hosts[name], first_contact=first) for first in (False, True)]
            for name in missing
        }
        gevent.joinall([gevent.spawn(self._connect, name, *routes) for name, routes in ways.items()], raise_error=True)

    def _connect(self, name: str, as_operator: Route, as_image_user: Route) -> None:
        self._forget(name)
        reasons = []
        for route in (as_operator, as_image_user):
            link = Link(route)
            try:
                self._shells[name] = link.shell()
            except OSError as error:
                reasons.append(str(error))
                # Only who is there but does not know the operator yet is asked again, as the image's user.
                if not (isinstance(error, Unreachable) and error.refused):
                    break
            else:
                self._links[name] = link
                self.unreachable.pop(name, None)
                return
        self.unreachable[name] = reasons[0]

    def _forget(self, name: str) -> None:
        """Closes what is left of a connection that broke."""
        self._shells.pop(name, None)
        link = self._links.pop(name, None)
        if link is not None:
            link.close()

    def close(self) -> None:
        """Ends what runs on the hosts; the connections stay open for the next command."""
        for name in list(self._links):
            self._forget(name)

    def drop(self, name: str) -> None:
        """Ends the connection to one host: what waits for an answer on it fails now; `connect` makes a new one."""
        if name in self._links:
            self._links[name].retire()

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
        first = command.splitlines()[0][:80]
        try:
            sent = self._shell(name).change(f"exec bash -c {shlex.quote(command)}", stdin.encode(), timeout)
            answer = result(sent, timeout)
        except TimeoutError as error:
            raise HostError(name, f"no answer within {timeout:g} s to: {first}") from error
        except OSError as error:
            raise HostError(name, f"the connection broke: {error or type(error).__name__}") from error
        output, errors = answer.out.decode(errors="replace"), answer.err.decode(errors="replace")
        if answer.status != 0:
            lines = (errors or output).strip().splitlines()
            raise HostError(name, lines[-1] if lines else f"ended with {answer.status}: {first}")
        return output

    def session(self, name: str, command: str) -> Stream:
        """A command on one host as the user who logs in, for what must stay open (the lease).

        Raises:
            HostError: the host is not connected.
            OSError: it opens no session.
        """
        self._shell(name)
        return self._links[name].session(command)

    def _shell(self, name: str) -> Shell:
        """The process that runs what is asked of one host; one for each connection.

        Raises:
            HostError: the host is not connected.
        """
        if not self._alive(name):
            reason = "the connection broke" if name in self._shells else "not connected"
            raise HostError(name, self.unreachable.get(name, reason))
        return self._shells[name]

    def _alive(self, name: str) -> bool:
        return name in self._shells and self._shells[name].alive

    def _state(self, names: list[str]) -> State:
        data = [(f"@{connector.NAME}/{name}", self._data(name)) for name in names]
        roles: dict[str, Any] = {}
        for name in names:
            for role in self.environment.hosts[name].roles:
                roles.setdefault(role, ([], {}))[0].append(f"@{connector.NAME}/{name}")
        return state_over(data, roles)

    def _data(self, name: str) -> dict[str, Any]:
        data = ssh.host_data(self.environment, self.environment.hosts[name])
        data["mainstay_run"] = self.run_id
        data[groups.ALLOW_RESTART] = self.allow_restart
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
        state = self._state(names)
        memory = recalled(self.environment, deploy.name)
        for host in state.inventory:
            self._lend(host, memory)
            state.activate_host(host)
        one = Pass(state, outcome, self.run_id, self.halt)
        one.prepare(deploy)
        if execute:
            one.execute(observer)
        else:
            one.decide()
        one.collect(executed=execute)
        asked = {}
        for host in state.activated_hosts:
            knowledge, record = _knowledge(host), outcome.hosts[host.name]
            asked[host.name] = list(knowledge.asked)
            record.questions, record.known = knowledge.counts.questions, knowledge.counts.known
        memory.keep(asked | {kind_of(self.environment, name): questions for name, questions in asked.items()})
        return outcome

    def _lend(self, host: Host, memory: Memory) -> None:
        """Gives pyinfra's connector of one pass what stays open between passes, and what was asked in the last one."""
        mine = connector.connector_of(host)
        mine.link, mine.shell, host.connected = self._links[host.name], self._shells[host.name], True
        mine.deadline = self.deadline_s
        mine.knowledge = Knowledge(mine.shell, memory.of(host.name, kind_of(self.environment, host.name)))


def _allow_files(wanted: int) -> None:
    """Lets this process open more files than its shell lets it, as far as the system lets everybody."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = wanted + 256 if hard == resource.RLIM_INFINITY else min(wanted + 256, hard)
    if soft != resource.RLIM_INFINITY and most > soft:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))


def _knowledge(host: Host) -> Knowledge:
    found = connector.connector_of(host).knowledge
    assert found is not None  # noqa: S101  as `_lend` gave it
    return found
