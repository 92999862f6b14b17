"""The shipped system with a replica of its database, as tests plan it."""

from __future__ import annotations

from pathlib import Path

import pytest

from mainstay.inventory import Environment
from tests.plan import systems
from tests.unit.inventories import Edit

SECTION: Edit = ("system.yaml", "redis:\n  managed: false ", "replication: {}\n\nredis:\n  managed: false ")
HOSTS = "  eai-cache-1: {address: 198.51.100.41"
REPLICA = "  eai-db-2: {address: 198.51.100.32, roles: [db_replica], memory: 4G, cores: 2, disk: 100G}\n"
REPLICAS: Edit = ("production.yaml", HOSTS, REPLICA + HOSTS)
KIT = "/usr/local/lib/mainstay"


def replicated(folder: Path, patch: pytest.MonkeyPatch) -> Environment:
    """Its production, with every secret made."""
    return systems.pinned(systems.project(folder, patch, SECTION, REPLICAS))
