"""How a host of the connector is reached: a link, and over it a runner as root and one as the user who logs in.

The connection is OpenSSH's (`mainstay.transport.link`). pyinfra's own, by paramiko, is made where something asks for
what that one does not do. Written for pyinfra 3.10.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from pyinfra.api.exceptions import ConnectError
from pyinfra.connectors.base import DataMeta
from pyinfra.connectors.ssh import SSHConnector
from typing_extensions import override

from mainstay.transport import plain
from mainstay.transport.knowledge import Knowledge
from mainstay.transport.link import Link, Unreachable
from mainstay.transport.route import of_data
from mainstay.transport.shell import Shell
from mainstay.transport.streams import Channel
from mainstay.transport.tcp import no_delay


class Reached(SSHConnector):
    """One host; `link`, `shell` and `knowledge` are its own, or given by who keeps them for longer."""

    # Unlike pyinfra's own default, nothing is believed of a host that is not known: ssh_config may say otherwise.
    data_meta = {**SSHConnector.data_meta, "ssh_strict_host_key_checking": DataMeta("As ssh_config's")}  # noqa: RUF012

    link: Link | None = None
    shell: Shell | None = None
    login: Shell | None = None
    knowledge: Knowledge | None = None

    @override
    def connect(self) -> None:
        route = of_data(self.data, self.host.name)
        if route is None:
            super().connect()
            return
        self.link, self.shell, self.login, self.knowledge = Link(route), None, None, None
        try:
            if self.host.data.get("_sudo"):
                with suppress(_NotAsRoot):  # it may want a password that only a command brings
                    self.open_shell({"_sudo_password": self.host.data.get("_sudo_password")})
                    return
            self.open_login()
        except OSError as error:
            raise ConnectError(str(error)) from error

    def open_shell(self, arguments: Mapping[str, Any]) -> Shell:
        """The host's shell, started with the first call; the arguments may hold the password that sudo asks for.

        Raises:
            OSError: no connection, no sudo, no Perl, or no answer; the host's own words.
        """
        if self.shell is None:
            password = str(arguments.get("_sudo_password") or "")
            sudo = "sudo -S -p '' -H " if password else "sudo -n -H "
            try:
                self.shell = self._started(sudo, password)
            except Unreachable:
                raise
            except OSError as error:
                raise _NotAsRoot(str(error)) from error
            self.knowledge = Knowledge(self.shell, plain.remembered(self.host))
        self._look()
        return self.shell

    def _look(self) -> None:
        """Nothing connects anew by itself: by now the host may be another writer's."""
        if self.shell is not None and not self.shell.alive:
            raise OSError("the connection broke")

    def open_login(self) -> Shell:
        """The shell of the user who logs in, started with the first call.

        Raises:
            OSError: as `open_shell`.
        """
        self._look()
        if self.login is None:
            self.login = self._started("", "")
        return self.login

    def _started(self, sudo: str, password: str) -> Shell:
        if self.link is not None:
            return self.link.shell(sudo, password)
        before = f"{password}\n".encode() if password else b""
        shell = Shell(lambda command: Channel(self.client, command), sudo=sudo, before=before)
        shell.wait()
        return shell

    def by_paramiko(self) -> None:
        """Makes pyinfra's own connection, where it is not there yet."""
        self._look()
        if self.client is None:
            super().connect()
            if self.link is not None and self.client is not None:
                self.link.adopt(self.client)

    @override
    def make_paramiko_kwargs(self) -> dict[str, Any]:
        kwargs: dict[str, Any] = super().make_paramiko_kwargs()
        kwargs["_pyinfra_ssh_strict_host_key_checking"] = self.data["ssh_strict_host_key_checking"] or "yes"
        own = self.data["ssh_paramiko_connect_kwargs"] or {}
        kwargs["_pyinfra_ssh_paramiko_connect_kwargs"] = {"transport_factory": no_delay, **own}
        return kwargs

    @override
    def disconnect(self) -> None:
        super().disconnect()
        if self.knowledge is not None:
            plain.remember(self.host, list(self.knowledge.asked))
        for one in (self.shell, self.login, self.link, self.client):
            if one is not None:
                one.close()  # pyinfra's own leaves the client's socket open


class _NotAsRoot(OSError):
    """The host is there, and does not make this user root; its own words."""
