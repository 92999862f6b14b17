"""pyinfra's commands as the host's shell runs them, and its answers as pyinfra reads them. Pure."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from typing import Any

from pyinfra.api.command import StringCommand
from pyinfra.api.util import get_file_io
from pyinfra.connectors.util import CommandOutput, OutputLine, make_unix_command

from mainstay.transport.shell import Answer

# Arguments with which a command does not run as plain root in plain sudo's surroundings.
_OTHERWISE = ("_sudo_user", "_use_sudo_login", "_preserve_sudo_env", "_su_user", "_doas", "_dzdo")
_OF_SUDO = ("_sudo", "_sudo_password", "_sudo_askpass_path")


def goes_through_shell(arguments: Mapping[str, Any]) -> bool:
    """Whether a command with these arguments is run as root in the host's shell."""
    return bool(arguments.get("_sudo")) and not arguments.get("_get_pty")


def goes_as_login(arguments: Mapping[str, Any]) -> bool:
    """Whether a command with these arguments is run as the user who logs in, without a terminal."""
    return not any(arguments.get(key) for key in ("_sudo", "_get_pty", "_su_user", "_doas", "_dzdo"))


def command_of(command: StringCommand, arguments: dict[str, Any]) -> StringCommand:
    """What the runner, which is root where `_sudo` is given, runs for a command of pyinfra with these arguments."""
    inner = {key: value for key, value in arguments.items() if key not in _OF_SUDO}
    if any(arguments.get(key) for key in _OTHERWISE):
        return make_unix_command(command, **inner, _sudo=bool(arguments.get("_sudo")))
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
    open_ends: dict[bool, list[bytes]] = {True: [], False: []}
    names = {True: "stderr", False: "stdout"}
    for is_error, piece in answer.pieces:
        first, *others = piece.split(b"\n")
        open_ends[is_error].append(first)
        if not others:
            continue
        whole = [b"".join(open_ends[is_error]), *others[:-1]]
        open_ends[is_error] = [others[-1]]
        lines += [OutputLine(names[is_error], line.decode("utf-8", errors)) for line in whole]
    for is_error, rest in open_ends.items():
        if any(rest):
            lines.append(OutputLine(names[is_error], b"".join(rest).decode("utf-8", errors)))
    return CommandOutput(lines)


def bytes_of(stdin: Any) -> bytes:
    """As pyinfra's own connectors send it: a string, or lines, each ended."""
    if not stdin:
        return b""
    if hasattr(stdin, "readlines"):
        stdin = stdin.readlines()
    lines = stdin if isinstance(stdin, (list, tuple)) else [stdin]
    return "".join(line if line.endswith("\n") else f"{line}\n" for line in lines).encode()


def content_of(source: Any) -> bytes:
    """What pyinfra would upload: a path's or an open file's content."""
    with get_file_io(source) as file:
        data = file.read()
    return data.encode() if isinstance(data, str) else bytes(data)
