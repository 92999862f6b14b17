"""testinfra's way to a host, as Mainstay uses it: one root shell over one SSH connection for all checks of a suite.

testinfra's own `ssh://` starts a program here and a session with sudo there for every command, which is most of what a
verification costs. Here each command is a child of one shell. It has its own process, no standard input, and its exit
code, standard output and standard error come back as they are, framed by their lengths.
"""

from __future__ import annotations

import base64
import shlex
import subprocess
import tempfile
import threading
from collections.abc import Callable
from typing import Any

from testinfra.backend import BACKENDS
from testinfra.backend.base import BaseBackend, CommandResult
from typing_extensions import override

SCHEME = "mainstay"
LIMIT_S = 120.0
# Commands come as lines of base64, so none ends early. Answers pass through files that only root reads.
_LOOP = r"""
umask 077
d=$(mktemp -d /run/mainstay-verify.XXXXXX) || exit
trap 'rm -rf "$d"' EXIT
while IFS= read -r line; do
    /bin/sh -c "$(base64 -d <<< "$line")" > "$d/out" 2> "$d/err" < /dev/null
    printf '%d %d %d\n' $? $(stat -c %s "$d/out" "$d/err")
    cat "$d/out" "$d/err"
done
"""


class RootShell(BaseBackend):  # type: ignore[misc]  # testinfra's types are not seen
    """`mainstay://HOST`: commands run as root, or as the user that `host.sudo(user)` names.

    Raises:
        RuntimeError: no connection, or no answer within `LIMIT_S` seconds; it is what testinfra's own backends raise.
    """

    NAME = SCHEME

    def __init__(self, hostspec: str, ssh_config: str = "", *args: Any, **kwargs: Any) -> None:
        super().__init__(hostspec, *args, **kwargs)
        self.ssh_config = ssh_config
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115  open as long as the shell is
        self._process: subprocess.Popen[bytes] | None = None

    @override
    def run(self, command: str, *args: str, **kwargs: Any) -> CommandResult:
        wanted = self.quote(command, *args)
        if self.sudo_user is not None:
            wanted = self.get_sudo_command(wanted, self.sudo_user)
        if self._process is None or self._process.poll() is not None:
            self._process = self._open()
        process = self._process
        timer = threading.Timer(LIMIT_S, process.kill)
        timer.start()
        try:
            status, out, err = _ask(process, wanted)
        except (OSError, ValueError) as error:
            process.kill()
            process.wait()
            self._errors.seek(0)
            said = self._errors.read().decode(errors="replace").strip().splitlines()
            reason = said[-1] if said else f"the shell ended, or took longer than {LIMIT_S:g} s"
            raise RuntimeError(f"{self.hostname}: no answer to {command[:80]!r}: {reason}") from error
        finally:
            timer.cancel()
        return self.result(status, self.encode(wanted), out, err)

    def _open(self) -> subprocess.Popen[bytes]:
        self._errors.seek(0)  # the shell writes on where this file stands
        self._errors.truncate()
        argv = ["ssh", "-F", self.ssh_config, "-o", "ConnectTimeout=10", self.hostname]
        return subprocess.Popen(
            [*argv, f"sudo -n bash -c {shlex.quote(_LOOP)}"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
        )


def register() -> None:
    """Makes testinfra know `mainstay://`."""
    BACKENDS[SCHEME] = f"{__name__}.{RootShell.__name__}"


def _ask(process: subprocess.Popen[bytes], command: str) -> tuple[int, bytes, bytes]:
    """Exit code, standard output and standard error of one command.

    Raises:
        OSError, ValueError: the shell has ended.
    """
    assert process.stdin is not None and process.stdout is not None  # noqa: S101  as `_open` made it
    process.stdin.write(base64.b64encode(command.encode()) + b"\n")
    process.stdin.flush()
    status, *lengths = (int(word) for word in process.stdout.readline().split())
    read: Callable[[int], bytes] = process.stdout.read
    out, err = (read(length) for length in lengths)
    return status, out, err
