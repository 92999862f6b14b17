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
from pyinfra.connectors.util import CommandOutput, OutputLine, extract_control_arguments, make_unix_command
from typing_extensions import override

from mainstay.secrets import mask
from mainstay.transport.knowledge import QUESTION_LIMIT_S, Knowledge, Question
from mainstay.transport.shell import Answer, Forgotten, Shell, result
from mainstay.transport.streams import Channel

NAME = "mainstay"
# Arguments with which a command does not run as plain root in plain sudo's surroundings.
_OTHERWISE = ("_sudo_user", "_use_sudo_login", "_preserve_sudo_env", "_su_user", "_doas", "_dzdo")
_OF_SUDO = ("_sudo", "_sudo_password", "_sudo_askpass_path")
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

    def open_shell(self, password: str = "") -> Shell:
        """The host's shell, started with the first call; `password` is what sudo asks for, sent on standard input.

        Raises:
            OSError: no sudo, no Perl, or no answer; the host's own words.
        """
        if self.shell is None or not self.shell.alive:
            self.shell = open_shell(self.client, password)
            self.knowledge = Knowledge(self.shell)
        return self.shell

    @override
    def run_shell_command(
        self, command: StringCommand, print_output: bool = False, print_input: bool = False, **arguments: Any
    ) -> tuple[bool, CommandOutput]:
        if self.before_asking is not None:
            self.before_asking()
        if not goes_through_shell(arguments):
            self._changed()
            return super().run_shell_command(command, print_output, print_input, **arguments)
        control = extract_control_arguments(arguments)  # type: ignore[arg-type]  # pyinfra's own TypedDict
        limit = float(control.get("_timeout") or 0)
        stdin = _bytes_of(control.get("_stdin"))
        successes = control.get("_success_exit_codes") or (0,)
        line = command_of(command, arguments)
        if print_input:
            echo(f"{self.host.print_prefix}>>> {line}", err=True)
        shell = self.open_shell(str(arguments.get("_sudo_password") or ""))
        raw = line.get_raw_value()
        if is_question() and not stdin and self.knowledge:
            question = Question(raw, limit or QUESTION_LIMIT_S)
            with _own_place(self.host):
                answer = self.knowledge.ask(question, remember=raw == line.get_masked_value() == mask(raw))
            output = output_of(answer, "surrogateescape")
        else:
            self._changed()
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
        self._changed()
        if not goes_through_shell(arguments):
            return super().put_file(
                filename_or_io, remote_filename, remote_temp_filename, print_output, print_input, **arguments
            )
        data = _content(filename_or_io)
        shell = self.open_shell(str(arguments.get("_sudo_password") or ""))
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
        shell = self.open_shell(str(arguments.get("_sudo_password") or ""))
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
        self._changed()
        group = next(_GROUPS)
        sent = []
        for command in commands:
            own = {**arguments, **command.connector_arguments}
            own = {key: value for key, value in own.items() if key in CONNECTOR_ARGUMENT_KEYS}
            control = extract_control_arguments(own)  # type: ignore[arg-type]  # pyinfra's own TypedDict
            limit = float(control.get("_timeout") or 0)
            shell = self.open_shell(str(own.get("_sudo_password") or ""))
            raw = command_of(command, own).get_raw_value()
            sent.append((shell.change(raw, _bytes_of(control.get("_stdin")), limit, group), limit))
        if self.knowledge is not None:
            self.knowledge.foresee()
        lines: list[OutputLine] = []
        for future, limit in sent:
            answer = _finished(future, limit)
            lines += output_of(answer, "replace").combined_lines
            if answer.status != 0:
                return False, CommandOutput(lines)
        return True, CommandOutput(lines)

    def _changed(self) -> None:
        if self.knowledge is not None:
            self.knowledge.changed()


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


def command_of(command: StringCommand, arguments: dict[str, Any]) -> StringCommand:
    """What the host's root runs for a command of pyinfra with these arguments."""
    inner = {key: value for key, value in arguments.items() if key not in _OF_SUDO}
    if any(arguments.get(key) for key in _OTHERWISE):
        return make_unix_command(command, **inner, _sudo=True)
    if inner.get("_shell_executable", "sh") == "sh":
        inner["_shell_executable"] = None  # the runner's own is sh
    return make_unix_command(command, **inner)


def upload_command(path: str, size: int) -> str:
    """Writes standard input beside the file, and renames it only where all `size` bytes came.

    Owner and mode are those of the file that it replaces; a new one is root's, 0600.
    """
    return (
        f"set -eu; p=$(readlink -f -- {shlex.quote(path)}); umask 077\n"
        'if [ -e "$p" ] && [ ! -f "$p" ]; then exec cat > "$p"; fi\n'
        't=$(mktemp -- "$p.XXXXXX"); trap \'rm -f -- "$t"\' EXIT; cat > "$t"\n'
        f'[ "$(stat -c %s -- "$t")" = {size} ] || {{ echo "{size} bytes were sent, not all arrived" >&2; exit 1; }}\n'
        'if [ -e "$p" ]; then chown --reference="$p" -- "$t"; chmod --reference="$p" -- "$t"; fi\n'
        'mv -fT -- "$t" "$p"'
    )


def output_of(answer: Answer, errors: str) -> CommandOutput:
    """The lines as pyinfra wants them, in the order in which they came."""
    lines: list[OutputLine] = []
    open_ends = {True: b"", False: b""}
    names = {True: "stderr", False: "stdout"}
    for is_error, piece in answer.pieces:
        *whole, open_ends[is_error] = (open_ends[is_error] + piece).split(b"\n")
        lines += [OutputLine(names[is_error], line.decode("utf-8", errors)) for line in whole]
    for is_error, rest in open_ends.items():
        if rest:
            lines.append(OutputLine(names[is_error], rest.decode("utf-8", errors)))
    return CommandOutput(lines)


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


def goes_through_shell(arguments: Mapping[str, Any]) -> bool:
    """Whether a command with these arguments is run as root in the host's shell."""
    return bool(arguments.get("_sudo")) and not arguments.get("_get_pty")


def _finished(future: Any, limit: float) -> Answer:
    try:
        return result(future, limit)
    except Forgotten as error:
        raise OSError("not run: the command before it failed") from error


def _bytes_of(stdin: Any) -> bytes:
    """As pyinfra's own connectors send it: a string, or lines, each ended."""
    if not stdin:
        return b""
    if hasattr(stdin, "readlines"):
        stdin = stdin.readlines()
    lines = stdin if isinstance(stdin, (list, tuple)) else [stdin]
    return "".join(line if line.endswith("\n") else f"{line}\n" for line in lines).encode()


def _content(source: Any) -> bytes:
    with get_file_io(source) as file:
        data = file.read()
    return data.encode() if isinstance(data, str) else bytes(data)
