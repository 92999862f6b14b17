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


_UPLOAD = r"""{{ set -eu; umask 077
p=$(readlink -f -- {path}) || {{ echo {path}": its folder is not there" >&2; exit 1; }}
[ ! -e "$p" ] || [ -f "$p" ] || exec cat > "$p"
d=${{p%/*}} n=${{p##*/}}
trap '[ -z "${{t-}}" ] || rm -f -- "$t"' EXIT; trap 'exit 1' HUP INT TERM
if [ -w "$d/" ]; then
    rm -f -- "$d/.$n.mainstay-"??????
    t=$(mktemp -- "$d/.$n.mainstay-XXXXXX")
else t=$(mktemp); fi
cat > "$t"
[ "$(stat -c %s -- "$t")" = {size} ] || {{ echo "{size} bytes were sent, not all arrived" >&2; exit 1; }}
if [ -e "$p" ]; then
    if ! [ -w "$d/" ] || ! chown --reference="$p" -- "$t" 2>/dev/null; then cat -- "$t" > "$p"; exit 0; fi
    chmod --reference="$p" -- "$t"
fi
mv -fT -- "$t" "$p"
}}"""


def upload_command(path: str, size: int) -> str:
    """Writes standard input beside the file, and renames it only where all `size` bytes came.

    Owner and mode are those of the file that it replaces; a new one is its writer's alone, 0600. Who may not give a
    file its owner, or make one beside it, writes it into the one that is there. What was left by an upload that was
    killed goes with the next one; its name is hidden from those who read all files of a folder.
    """
    return _UPLOAD.format(path=shlex.quote(path), size=size)


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
