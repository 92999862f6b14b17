"""pyinfra's connector `@mainstay/HOST`: everything that is run as root goes through one process on the host.

Facts are questions: they are answered from what is known, and asked ahead. Everything else may change the host, and
ends what is known. What is not run by sudo, or wants a pty, goes as pyinfra's own SSH connector sends it. Written for
pyinfra 3.10; upstream, `run_shell_command` would be told whether a fact asks.
"""

from __future__ import annotations

import functools
import itertools
import shlex
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import gevent.local
import pyinfra
from pyinfra.api.arguments import CONNECTOR_ARGUMENT_KEYS
from pyinfra.api.command import StringCommand
from pyinfra.api.host import Host
from pyinfra.api.output import echo
from pyinfra.api.util import get_file_io
from pyinfra.connectors.ssh import SSHConnector
from pyinfra.connectors.util import CommandOutput, OutputLine, extract_control_arguments
from typing_extensions import override

from mainstay.secrets import mask
from mainstay.transport.commands import bytes_of, command_of, content_of, goes_through_shell, output_of, upload_command
from mainstay.transport.knowledge import Knowledge
from mainstay.transport.shell import QUESTION_LIMIT_S, Answer, Forgotten, Question, Shell, result
from mainstay.transport.streams import Channel

NAME = "mainstay"
_PLACE = ("in_op", "current_op_hash", "current_op_global_arguments", "current_op_deploy_data")
_GROUPS = itertools.count(1)
_LOCAL = gevent.local.local()


class MainstayConnector(SSHConnector):
    """One host; `shell` and `knowledge` are made at the first command, or given by who keeps them for longer."""

    shell: Shell | None = None
    knowledge: Knowledge | None = None
    # Called before anything is sent, to send what an operation has yielded already.
    before_asking: Callable[[], None] | None = None

    @override
    @staticmethod
    def make_names_data(name: str) -> Iterator[tuple[str, dict[str, Any], list[str]]]:
        yield name, {"ssh_hostname": name}, []

    def open_shell(self, arguments: Mapping[str, Any]) -> Shell:
        """The host's shell, started with the first call; the arguments may hold the password that sudo asks for.

        Raises:
            OSError: no sudo, no Perl, or no answer; the host's own words.
        """
        if self.shell is None or not self.shell.alive:
            self.shell = open_shell(self.client, str(arguments.get("_sudo_password") or ""))
            self.knowledge = Knowledge(self.shell)
        return self.shell

    @override
    def run_shell_command(
        self, command: StringCommand, print_output: bool = False, print_input: bool = False, **arguments: Any
    ) -> tuple[bool, CommandOutput]:
        if self.before_asking is not None:
            self.before_asking()
        if not goes_through_shell(arguments):
            self.changed()
            return super().run_shell_command(command, print_output, print_input, **arguments)
        control = extract_control_arguments(arguments)  # type: ignore[arg-type]  # pyinfra's own TypedDict
        limit = float(control.get("_timeout") or 0)
        stdin = bytes_of(control.get("_stdin"))
        successes = control.get("_success_exit_codes") or (0,)
        line = command_of(command, arguments)
        if print_input:
            echo(f"{self.host.print_prefix}>>> {line}", err=True)
        shell = self.open_shell(arguments)
        raw = line.get_raw_value()
        if is_question() and not stdin and self.knowledge:
            question = Question(raw, limit or QUESTION_LIMIT_S)
            with _own_place(self.host):
                answer = self.knowledge.ask(question, remember=raw == line.get_masked_value() == mask(raw))
            output = output_of(answer, "surrogateescape")
        else:
            self.changed()
            sent = shell.change(raw, stdin, limit)
            if self.knowledge is not None:
                self.knowledge.foresee()
            answer = _finished(sent, limit)
            output = output_of(answer, "replace")
        if print_output:
            for one in output:
                echo(f"{self.host.print_prefix}{one.line}", err=True)
        return answer.status in successes, output

    @override
    def put_file(
        self,
        filename_or_io: Any,
        remote_filename: str,
        remote_temp_filename: str | None = None,
        print_output: bool = False,
        print_input: bool = False,
        **arguments: Any,
    ) -> bool:
        """Uploads as the new whole file or not at all; a new one is its owner's alone until an operation says more."""
        self.changed()
        if not goes_through_shell(arguments):
            return super().put_file(
                filename_or_io, remote_filename, remote_temp_filename, print_output, print_input, **arguments
            )
        data = content_of(filename_or_io)
        shell = self.open_shell(arguments)
        answer = _finished(shell.change(upload_command(remote_filename, len(data)), data), 0)
        if print_output or answer.status != 0:
            echo(f"{self.host.print_prefix}{answer.err.decode(errors='replace').strip() or remote_filename}", err=True)
        return answer.status == 0

    @override
    def get_file(
        self,
        remote_filename: str,
        filename_or_io: Any,
        remote_temp_filename: str | None = None,
        print_output: bool = False,
        print_input: bool = False,
        **arguments: Any,
    ) -> bool:
        """Downloads without a copy on the host that others could read."""
        if not goes_through_shell(arguments):
            return super().get_file(
                remote_filename, filename_or_io, remote_temp_filename, print_output, print_input, **arguments
            )
        shell = self.open_shell(arguments)
        answer = _finished(shell.change(f"cat -- {shlex.quote(remote_filename)}"), 0)
        if answer.status != 0:
            echo(f"{self.host.print_prefix}{answer.err.decode(errors='replace').strip()}", err=True)
            return False
        with get_file_io(filename_or_io, "wb") as file:
            file.write(answer.out)
        return True

    @override
    def disconnect(self) -> None:
        super().disconnect()
        if self.shell is not None:
            self.shell.close()
        if self.client is not None:
            self.client.close()  # pyinfra's own leaves the socket open

    def ship(self, commands: Sequence[StringCommand], arguments: Mapping[str, Any]) -> tuple[bool, CommandOutput]:
        """Runs commands in order, sent together; the first that fails is the last that is run.

        Args:
            arguments: what their operation was given; a command's own come before.

        Raises:
            TimeoutError, OSError: as a command that is run alone.
        """
        self.changed()
        group = next(_GROUPS)
        sent = []
        for command in commands:
            own = {**arguments, **command.connector_arguments}
            own = {key: value for key, value in own.items() if key in CONNECTOR_ARGUMENT_KEYS}
            control = extract_control_arguments(own)  # type: ignore[arg-type]  # pyinfra's own TypedDict
            limit = float(control.get("_timeout") or 0)
            shell = self.open_shell(own)
            raw = command_of(command, own).get_raw_value()
            sent.append((shell.change(raw, bytes_of(control.get("_stdin")), limit, group), limit))
        if self.knowledge is not None:
            self.knowledge.foresee()
        lines: list[OutputLine] = []
        for future, limit in sent:
            answer = _finished(future, limit)
            lines += output_of(answer, "replace").combined_lines
            if answer.status != 0:
                return False, CommandOutput(lines)
        return True, CommandOutput(lines)

    def changed(self) -> None:
        """Something changed the host, or is about to: nothing that was answered before is believed."""
        if self.knowledge is not None:
            self.knowledge.changed()


def connector_of(host: Host) -> MainstayConnector:
    """The connector of a host that `@mainstay/` named."""
    assert isinstance(host.connector, MainstayConnector)  # noqa: S101  as whoever asks has chosen it
    return host.connector


def open_shell(client: Any, password: str = "") -> Shell:
    """Starts the runner as root on an open paramiko connection.

    Raises:
        OSError: it does not start; the host's own words.
    """
    sudo = "sudo -S -p '' -H " if password else "sudo -n -H "
    shell = Shell(
        lambda command: Channel(client, command), sudo=sudo, before=f"{password}\n".encode() if password else b""
    )
    shell.wait()
    return shell


@contextmanager
def _own_place(host: Host) -> Iterator[None]:
    """Keeps where pyinfra stands in an operation: while it waits, other operations of the same host go on."""
    kept = {name: getattr(host, name) for name in _PLACE}
    try:
        yield
    finally:
        for name, value in kept.items():
            setattr(host, name, value)


@contextmanager
def asking() -> Iterator[None]:
    """What is run in here changes nothing."""
    before = getattr(_LOCAL, "asking", False)
    _LOCAL.asking = True
    try:
        yield
    finally:
        _LOCAL.asking = before


def is_question() -> bool:
    """Whether a fact asks."""
    return bool(getattr(_LOCAL, "asking", False))


def _mark_questions() -> None:
    """Lets the connector see which commands are a fact's; where it cannot, each counts as a change: slow, and right."""
    original: Callable[..., Any] = Host.get_fact

    @functools.wraps(original)
    def get_fact(self: Host, *args: Any, **kwargs: Any) -> Any:
        with asking():
            return original(self, *args, **kwargs)

    if pyinfra.__version__.startswith("3.10."):
        Host.get_fact = get_fact  # type: ignore[method-assign]


_mark_questions()


def _finished(future: Any, limit: float) -> Answer:
    try:
        return result(future, limit)
    except Forgotten as error:
        raise OSError("not run: the command before it failed") from error
