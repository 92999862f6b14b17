"""pyinfra's connector `@mainstay/HOST`: everything that is run as root goes through one process on the host.

Facts are questions: they are answered from what is known, and asked ahead. Everything else may change the host, and
ends what is known. What is not run by sudo goes through a process of the user who logs in. The connection is OpenSSH's
(`mainstay.transport.link`). pyinfra's own, by paramiko, is made where something asks for what that one does not do: a
pty, `su`, downloads without sudo, a password to log in with. Written for pyinfra 3.10; upstream, `run_shell_command`
would be told whether a fact asks.
"""

from __future__ import annotations

import itertools
import shlex
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from functools import partial
from typing import Any

from pyinfra.api.arguments import CONNECTOR_ARGUMENT_KEYS
from pyinfra.api.command import StringCommand
from pyinfra.api.host import Host
from pyinfra.api.output import echo
from pyinfra.api.util import get_file_io
from pyinfra.connectors.util import CommandOutput, OutputLine, extract_control_arguments
from pyinfra.context import ctx_host
from typing_extensions import override

from mainstay import plan_notes
from mainstay.secrets import mask
from mainstay.transport import shell as shell_of
from mainstay.transport.asking import is_question, own_place
from mainstay.transport.commands import (
    bytes_of,
    command_of,
    content_of,
    goes_as_login,
    goes_through_shell,
    output_of,
    upload_command,
)
from mainstay.transport.reached import Reached
from mainstay.transport.shell import QUESTION_LIMIT_S, Answer, Forgotten, Question, Shell, result

NAME = "mainstay"
# Of an answer that is longer than it may be, less than this is missing up to the longest.
_LAST_PIECE = 1 << 16
_GROUPS = itertools.count(1)


class MainstayConnector(Reached):
    """One host.

    Attributes:
        deadline: seconds after which a command that changes the host is ended, 0 for never; an operation's own
            `_timeout` counts instead, and ends nothing.
        changed_until: when the last change of this host began or ended (`time.monotonic`).
    """

    deadline: float = 0
    changed_until: float = float("-inf")
    # Called before anything is sent, to send what an operation has yielded already.
    before_asking: Callable[[], None] | None = None

    @override
    @staticmethod
    def make_names_data(name: str) -> Iterator[tuple[str, dict[str, Any], list[str]]]:
        yield name, {"ssh_hostname": name}, []

    @override
    def run_shell_command(
        self, command: StringCommand, print_output: bool = False, print_input: bool = False, **arguments: Any
    ) -> tuple[bool, CommandOutput]:
        if self.before_asking is not None:
            self.before_asking()
        as_root = goes_through_shell(arguments)
        if not as_root and (self.link is None or not goes_as_login(arguments)):
            with self._changing():
                self.by_paramiko()
                return super().run_shell_command(command, print_output, print_input, **arguments)
        control = extract_control_arguments(arguments)  # type: ignore[arg-type]  # pyinfra's own TypedDict
        limit = float(control.get("_timeout") or 0)
        stdin = bytes_of(control.get("_stdin"))
        successes = control.get("_success_exit_codes") or (0,)
        line = command_of(command, arguments)
        if print_input:
            echo(f"{self.host.print_prefix}>>> {line}", err=True)
        shell = self.open_shell(arguments) if as_root else self.open_login()
        raw = line.get_raw_value()
        if as_root and is_question() and not stdin and self.knowledge:
            question = Question(raw, limit or QUESTION_LIMIT_S)
            # What is in `_env` looks like any other word, and may be a secret.
            open_text = raw == line.get_masked_value() == mask(raw) and not arguments.get("_env")
            with own_place(self.host):
                answer = self.knowledge.ask(question, remember=open_text)
            output = output_of(answer, "surrogateescape")
        else:
            self.changed()
            finished = self._change(shell, raw, stdin, limit)
            if as_root and self.knowledge is not None:
                self.knowledge.foresee()
            answer = finished()
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
        as_root = goes_through_shell(arguments)
        if not as_root and (self.link is None or not goes_as_login(arguments)):
            with self._changing():
                self.by_paramiko()
                return super().put_file(
                    filename_or_io, remote_filename, remote_temp_filename, print_output, print_input, **arguments
                )
        self.changed()
        data = content_of(filename_or_io)
        shell = self.open_shell(arguments) if as_root else self.open_login()
        command = _as_given(upload_command(remote_filename, len(data)), arguments)
        answer = self._change(shell, command, data)()
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
            self.by_paramiko()
            return super().get_file(
                remote_filename, filename_or_io, remote_temp_filename, print_output, print_input, **arguments
            )
        shell = self.open_shell(arguments)
        command = _as_given(f"cat -- {shlex.quote(remote_filename)}", arguments)
        answer = self._change(shell, command)()
        if answer.status != 0:
            echo(f"{self.host.print_prefix}{answer.err.decode(errors='replace').strip()}", err=True)
            return False
        if len(answer.out) > shell_of.LONGEST - _LAST_PIECE:  # of a change, the rest is dropped
            most = f"more than {shell_of.LONGEST >> 20} MB, expected less"
            echo(f"{self.host.print_prefix}{remote_filename}: {most}", err=True)
            return False
        with get_file_io(filename_or_io, "wb") as file:
            file.write(answer.out)
        return True

    @override
    def rsync(self, *args: Any, **arguments: Any) -> bool:
        """As pyinfra's own; it changes the host behind the runner's back, and ends what is known of it."""
        with self._changing():
            return bool(super().rsync(*args, **arguments))

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
            sent.append(self._change(shell, raw, bytes_of(control.get("_stdin")), limit, group))
        if self.knowledge is not None:
            self.knowledge.foresee()
        lines: list[OutputLine] = []
        for finished in sent:
            answer = finished()
            lines += output_of(answer, "replace").combined_lines
            if answer.status != 0:
                return False, CommandOutput(lines)
        return True, CommandOutput(lines)

    def _change(
        self, shell: Shell, command: str, stdin: bytes = b"", limit: float = 0, group: int = 0
    ) -> Callable[[], Answer]:
        """Sends a command that may change the host; what is returned waits for its answer, raising as `ship` does."""
        most = limit or self.deadline
        sent = shell.change(command, stdin, most, group, ends=not limit and self.deadline > 0)
        return partial(self._finished, sent, most)

    def _finished(self, sent: Future[Answer], limit: float) -> Answer:
        try:
            return result(sent, limit)
        except Forgotten as error:
            raise OSError("not run: the command before it failed") from error
        except OSError as error:
            with ctx_host.use(self.host):
                plan_notes.failure(str(error))  # pyinfra says of the operation only that it failed
            raise
        finally:
            self.changed_until = time.monotonic()

    @contextmanager
    def _changing(self) -> Iterator[None]:
        """While something changes the host that the runner does not see: answers from meanwhile are not believed."""
        self.changed()
        try:
            yield
        finally:
            self.changed()

    def changed(self) -> None:
        """Something changed the host, or is about to: nothing that was answered before is believed."""
        self.changed_until = time.monotonic()
        if self.knowledge is not None:
            self.knowledge.changed()


def connector_of(host: Host) -> MainstayConnector:
    """The connector of a host that `@mainstay/` named."""
    assert isinstance(host.connector, MainstayConnector)  # noqa: S101  as whoever asks has chosen it
    return host.connector


def _as_given(command: str, arguments: Mapping[str, Any]) -> str:
    """A command of the connector's own, as the user and in the surroundings that an operation was given."""
    own = dict(arguments)
    extract_control_arguments(own)  # type: ignore[arg-type]  # pyinfra's own TypedDict
    return command_of(StringCommand(command), own).get_raw_value()
