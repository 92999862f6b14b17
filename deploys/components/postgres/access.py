"""Who may log in to the cluster, from where, and how: the lines of pg_hba.conf and pg_ident.conf."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass

from deploys.components.postgres.model import Section, client_roles
from deploys.components.replication import model as replication
from mainstay.inventory import Environment, Host

LOOPBACK = ("127.0.0.1/32", "::1/128")
ROOT_MAP = "mainstay"
"""The map of pg_ident.conf by which root, who can become any user anyway, logs in as a role without a password."""


@dataclass(frozen=True)
class HbaRule:
    """One line of pg_hba.conf; `databases` are separated by commas."""

    kind: str
    databases: str
    role: str
    address: str
    method: str

    def line(self) -> str:
        """The line, in columns."""
        return f"{self.kind:<7} {self.databases:<23} {self.role:<23} {self.address:<27} {self.method}".rstrip()


def rules(env: Environment, postgres: Section) -> list[HbaRule]:
    """The rules in PostgreSQL's order of reading: the first that matches decides, what none matches is refused.

    The superuser is refused over TCP before anything else; each role then logs in from its own hosts to its own
    databases, and over a tunnel that ends on the host itself (loopback). Replicas follow from their own hosts, by TLS.
    """
    found = [HbaRule("local", "all", "postgres", "", "peer"), HbaRule("host", "all", "postgres", "all", "reject")]
    for name, role in postgres.roles.items():
        databases = ",".join(role.databases)
        found.append(HbaRule("local", databases, name, "", f"peer map={ROOT_MAP}"))
        if role.password is None:
            continue
        hosts = [host for member in client_roles(env, role) for host in env.hosts_of(member)]
        networks = [*LOOPBACK, *dict.fromkeys(_network(host) for host in hosts)]
        found += [HbaRule("host", databases, name, network, "scram-sha-256") for network in networks]
    return found + _replicas(env)


def _replicas(env: Environment) -> list[HbaRule]:
    if not replication.declared(env):
        return []
    user = replication.section(env).user
    networks = [_network(host) for host in replication.replicas(env)]
    return [HbaRule("hostssl", "replication", user, network, "scram-sha-256") for network in networks]


def _network(host: Host) -> str:
    return str(ipaddress.ip_network(host.address))
