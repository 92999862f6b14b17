"""The inventory as pyinfra reads it: one group a role, the connection and the model in each host's data.

`inventories/<system>/<env>.py` is two lines:

    from mainstay.inventory.groups import groups
    globals().update(groups(__file__))
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pyinfra.api.exceptions import InventoryError as PyinfraInventoryError

from mainstay import project
from mainstay.errors import MainstayError
from mainstay.inventory.environment import Environment, Host
from mainstay.inventory.loading import load
from mainstay.inventory.operator import operator
from mainstay.inventory.stores import lab_from_environment
from mainstay.transport.tcp import no_delay

ENVIRONMENT = "mainstay_environment"
HOST = "mainstay_host"
ALLOW_RESTART = "mainstay_allow_restart"
"""Host data: the operator lets servers be restarted for settings, outside of windows too."""

Entry = tuple[str, dict[str, Any]]


def groups(inventory_file: str) -> dict[str, list[Entry]]:
    """The groups of the inventory file `inventories/<system>/<env>.py`: one a role, and `all`.

    With `MAINSTAY_LAB` set, addresses and keys are the lab's.

    Raises:
        pyinfra's InventoryError: the same sentences that Mainstay's own commands print; pyinfra shows no traceback.
    """
    path = Path(inventory_file).resolve()
    try:
        project.install()
        env = load(path.parent.name, path.stem, root=path.parents[2], lab=lab_from_environment())
        return groups_of(env, operator(env))
    except MainstayError as error:
        raise PyinfraInventoryError(str(error)) from None


def groups_of(env: Environment, user: str) -> dict[str, list[Entry]]:
    """The groups of a loaded environment, every host reached as `user`; in the lab only hosts that the lab has."""
    there = [host for host in env.hosts.values() if not env.lacking(host)]
    entries = {host.name: (host.name, host_data(env, host, user)) for host in there}
    found: dict[str, list[Entry]] = {"all": list(entries.values())}
    for host in there:
        for role in host.roles:
            found.setdefault(role, []).append(entries[host.name])
    return found


def host_data(env: Environment, host: Host, user: str) -> dict[str, Any]:
    """pyinfra's data for one host: how to reach it, that sudo is used, and the model itself.

    Args:
        user: an operator, or `env.bootstrap_user` for the first contact.
    """
    data: dict[str, Any] = {
        "ssh_hostname": host.address,
        "ssh_port": host.ssh_port,
        "ssh_user": user,
        "ssh_known_hosts_file": str(known_hosts(env)),
        # pyinfra's default accepts whatever key a new host shows.
        "ssh_strict_host_key_checking": "yes",
        "ssh_paramiko_connect_kwargs": {"transport_factory": no_delay},
        "_sudo": True,
        ENVIRONMENT: env,
        HOST: host,
    }
    if env.lab is not None:
        data["ssh_key"] = str(env.lab.key_path)
    return data


def known_hosts(env: Environment) -> Path:
    """Where the hosts' keys are: the lab's file, the inventory's own `known_hosts`, else the operator's."""
    if env.lab is not None:
        return Path(env.lab.known_hosts)
    own = env.root / "inventories" / env.system / "known_hosts"
    return own if own.is_file() else Path("~/.ssh/known_hosts").expanduser()
