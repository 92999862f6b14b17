"""What a threshold or an alert may speak of: each measure is one PromQL expression in the unit that ends its name.

The runbooks' own expressions are wrong in ways that nobody sees until the night: rates that were called percentages
(DF-28, DF-37), series divided by themselves (DF-29), quantiles of single series (DF-33), memory that counts the page
cache (DF-34), disks without what is reserved for root (DF-35), CPU that counts one core (DF-36).
"""

from __future__ import annotations

from deploys.components.monitoring import collected
from deploys.components.monitoring.exporters import has_postgres, has_redis
from deploys.components.monitoring.measure import Measure
from deploys.components.monitoring.measures_database import REPLICATION, of_postgres, of_redis
from deploys.components.monitoring.measures_host import of_hosts, of_units
from deploys.components.monitoring.measures_service import LOGS, of_services, with_a_pool
from deploys.components.monitoring.section import section
from deploys.components.redis import model as redis
from mainstay.inventory import Environment


def measures(env: Environment) -> dict[str, Measure]:
    """The measures that the environment's targets give, by name."""
    hosts = list(env.hosts.values())
    found = of_hosts()
    databases = [host.name for host in hosts if has_postgres(env, host)]
    if databases:
        found += of_postgres(databases)
    if databases and env.hosts_of("db_replica"):
        found.append(REPLICATION)
    if any(has_redis(env, host) for host in hosts):
        found += of_redis(redis.section(env).maxclients)
    if collected.has_processes(env):
        found += of_units()
    if collected.looks(env):
        found.append(LOGS)
    if section(env).metrics:
        found += of_services(with_a_pool(env))
    return {measure.name: measure for measure in found}


def known() -> dict[str, str]:
    """Every measure that there could be, with what would have to give it."""
    givers = [
        (of_hosts(), "a host"),
        ([*of_postgres([]), REPLICATION], "a PostgreSQL (with a replica, for its lag) that Mainstay runs"),
        (of_redis(0), "a Redis that Mainstay runs"),
        (of_units(), "a service with processes"),
        ([LOGS], "a service whose log is looked at, by logs.patterns"),
        (of_services(()), "a service in monitoring.metrics"),
    ]
    return {measure.name: giver for found, giver in givers for measure in found}
