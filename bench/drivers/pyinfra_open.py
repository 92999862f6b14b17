"""`python -m bench.drivers.pyinfra_open INVENTORY DEPLOY HOST,...`: pyinfra plans twice over the same connections.

pyinfra itself knows no second plan in a process, so this is its command's own way (`pyinfra_cli.cli._main`), with a
fresh state each time and the connections carried over. Prints what `bench.drivers.passes` prints.
"""

from __future__ import annotations

import time

STARTED = time.perf_counter()

import pyinfra_cli  # noqa: E402, F401  first: it patches the standard library

# isort: split
import json  # noqa: E402
import sys  # noqa: E402
from pathlib import Path  # noqa: E402
from typing import Any  # noqa: E402

import pyinfra  # noqa: E402
from pyinfra.api import Config, State  # noqa: E402
from pyinfra.api.connect import connect_all  # noqa: E402
from pyinfra.api.state import StateStage  # noqa: E402
from pyinfra.context import ctx_config, ctx_inventory, ctx_state  # noqa: E402
from pyinfra_cli.inventory import make_inventory  # noqa: E402
from pyinfra_cli.util import load_deploy_file  # noqa: E402


def plan(inventory_file: str, deploy: str, names: set[str], clients: dict[str, Any]) -> tuple[float, State]:
    """One plan; fills `clients` the first time, uses them afterwards. Gives the moment when hosts were connected."""
    state = State(check_for_changes=True)
    state.cwd = str(Path.cwd())
    ctx_state.set(state)
    config = Config()
    ctx_config.set(config)
    config.lock_current_state()
    inventory = make_inventory(inventory_file, cwd=state.cwd)
    ctx_inventory.set(inventory)
    limit = [host for host in inventory if host.name in names]
    state.init(inventory, config, initial_limit=limit)
    state.set_stage(StateStage.Connect)
    if clients:
        for host in limit:
            host.connector.client, host.connected = clients[host.name], True
            state.activate_host(host)
    else:
        connect_all(state)
        clients.update({host.name: host.connector.client for host in limit})
    connected = time.perf_counter()
    state.set_stage(StateStage.Prepare)
    state.current_op_file_number = 0
    state.current_deploy_filename = deploy
    load_deploy_file(state, deploy)
    return connected, state


def main(inventory_file: str, deploy: str, limit: str) -> None:
    """Two plans."""
    pyinfra.is_cli = True
    sys.path.append(str(Path.cwd()))
    clients: dict[str, Any] = {}
    imported = time.perf_counter()
    connected, _ = plan(inventory_file, deploy, set(limit.split(",")), clients)
    first = time.perf_counter()
    used = time.process_time()
    _, state = plan(inventory_file, deploy, set(limit.split(",")), clients)
    second = time.perf_counter()
    operations = [len(state.ops[host]) for host in state.active_hosts]
    changes = sum(
        bool(data.operation_meta.will_change) for host in state.active_hosts for data in state.ops[host].values()
    )
    said = {
        "imports": imported - STARTED,
        "connect": connected - imported,
        "passes": [first - connected, second - first],
        "outcomes": [{"cpu": time.process_time() - used, "changes": changes, "failed": len(state.failed_hosts)}],
        "operations": operations,
    }
    print(json.dumps(said))


if __name__ == "__main__":
    main(*sys.argv[1:])
