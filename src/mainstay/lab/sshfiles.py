"""How hosts are reached: an ssh_config with strict host keys, and the known_hosts file that goes with it."""

from __future__ import annotations

from collections.abc import Mapping

from mainstay.lab.identity import IMAGE_USER
from mainstay.lab.paths import LabPaths

# On loopback there is nobody to keep a secret from, and OpenSSH's default exchange is most of the time of a connection.
KEX = "KexAlgorithms ^curve25519-sha256"
_ENTRY = """Host {names}
  HostName {address}
  HostKeyAlias {address}
"""
_COMMON = """Host *
  User {user}
  IdentityFile {key}
  IdentitiesOnly yes
  UserKnownHostsFile {known_hosts}
  GlobalKnownHostsFile /dev/null
  StrictHostKeyChecking yes
  BatchMode yes
  ConnectTimeout 5
  ControlPath none
  LogLevel ERROR
  {kex}
"""


def ssh_config(paths: LabPaths, names: Mapping[str, str]) -> str:
    """The ssh_config of a lab; `names` are the names of each host, separated by spaces, by its address."""
    entries = [_ENTRY.format(names=known, address=address) for address, known in names.items()]
    common = _COMMON.format(kex=KEX, user=IMAGE_USER, key=paths.key, known_hosts=paths.known_hosts)
    return "\n".join([*entries, common])


def known_hosts(keys: Mapping[str, str]) -> str:
    """The known_hosts of a lab: public host keys by address."""
    return "".join(f"{address} {key}\n" for address, key in keys.items())
