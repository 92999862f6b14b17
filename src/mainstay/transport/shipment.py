"""The commands of one operation, sent together: one wait for all of them, and each stops what follows where it fails.

pyinfra runs a command when its operation yields it, and waits. An operation rarely looks at the host between two of its
commands; where it does, what it has yielded so far is run first, so that it sees what it would have seen.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from pyinfra.api import Host, State, StringCommand
from pyinfra.connectors.util import CommandOutput
from typing_extensions import override

from mainstay.transport.commands import goes_through_shell
from mainstay.transport.connector import connector_of

# Arguments of an operation for which every command has to be seen by pyinfra itself.
_ONE_BY_ONE = ("_continue_on_error", "_retries", "_retry_until")


class Undelivered(Exception):
    """Commands failed that an operation had yielded before it looked at the host; `output` is theirs."""

    def __init__(self, output: CommandOutput) -> None:
        super().__init__("a command failed")
        self.output = output


class Shipment(StringCommand):
    """Commands as one; its output is theirs, and it fails where one of them does.

    Args:
        before: output of what was run earlier already.
        failed: that has failed, so nothing more is run.
    """

    def __init__(self, commands: list[StringCommand], before: CommandOutput, *, failed: bool = False) -> None:
        super().__init__()
        self.commands = commands
        self.before = before
        self.failed = failed

    @override
    def execute(self, state: State, host: Host, connector_arguments: Any) -> tuple[bool, CommandOutput]:
        if self.failed:
            return False, self.before
        ok, output = connector_of(host).ship(self.commands, connector_arguments)
        return ok, CommandOutput([*self.before, *output])


class Load:
    """What one operation has yielded and nobody has run yet."""

    def __init__(self, host: Host, arguments: Any) -> None:
        """`arguments`: the operation's global arguments."""
        self._connector = connector_of(host)
        self._arguments = arguments
        self._waiting: list[StringCommand] = []
        self._early = CommandOutput([])
        self._delivered = False
        self._together = not any(arguments.get(name) for name in _ONE_BY_ONE)

    def __enter__(self) -> Load:
        self._connector.before_asking = self.deliver
        return self

    def __exit__(self, *_: object) -> None:
        self._connector.before_asking = None

    def takes(self, command: object) -> bool:
        """Whether the command waits for those behind it."""
        if not (self._together and isinstance(command, StringCommand)):
            return False
        arguments = {**self._arguments, **command.connector_arguments}
        if not goes_through_shell(arguments) or list(arguments.get("_success_exit_codes") or [0]) != [0]:
            return False
        self._waiting.append(command)
        return True

    def rest(self) -> Iterator[Shipment]:
        """All that waits, as one command; pyinfra counts an operation as a change by its commands."""
        if self._waiting or self._delivered:
            waiting, early = self._waiting, self._early
            self._waiting, self._early, self._delivered = [], CommandOutput([]), False
            yield Shipment(waiting, early)

    def deliver(self) -> None:
        """Runs what waits, now: the operation is about to look at the host.

        Raises:
            Undelivered: a command failed; those behind it were not run.
        """
        if not self._waiting:
            return
        waiting, self._waiting = self._waiting, []
        ok, output = self._connector.ship(waiting, self._arguments)
        self._early = CommandOutput([*self._early, *output])
        self._delivered = True
        if not ok:
            raise Undelivered(self._early)
