"""The lab's object store and CDN, beside the gateway: for systems whose `storage` names credentials to use it by."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from typing import Any

import yaml

from mainstay import project
from mainstay.errors import LabError
from mainstay.lab import store_server
from mainstay.lab.outside import connects, write_atomically
from mainstay.lab.paths import LabPaths
from mainstay.lab.state import LabState

PORT = 9000
_NEEDS = ("moto", "flask", "flask_cors", "py_partiql_parser")
_START_S = 60


def endpoint(lab: LabState, system: str) -> str:
    """Where the store answers for the system; empty where the lab has none for it."""
    return f"http://{lab.network.gateway}:{PORT}" if named(system) else ""


def named(system: str) -> dict[str, list[str]]:
    """The buckets and distributions that the inventory's files name; empty where Mainstay itself uses no store.

    Read without checking the rest, as the lab reads hosts.
    """
    folder = project.root() / "inventories" / system
    try:
        files = [yaml.safe_load(path.read_text(encoding="utf-8")) for path in sorted(folder.glob("*.yaml"))]
    except (OSError, yaml.YAMLError):
        return {}
    storages = [file.get("storage") for file in files if isinstance(file, dict)]
    if not any(isinstance(storage, dict) and "key_id" in storage for storage in storages):
        return {}
    return {
        "buckets": sorted(set(_values(files, "bucket"))),
        "distributions": sorted(set(_values(files, "distribution"))),
    }


def _values(part: Any, key: str) -> Iterator[str]:
    """Every text that stands under `key`, wherever it is."""
    for name, value in part.items() if isinstance(part, dict) else enumerate(part if isinstance(part, list) else []):
        if name == key and isinstance(value, str):
            yield value
        yield from _values(value, key)


def provide(lab: LabState, paths: LabPaths, systems: Iterable[str]) -> None:
    """Starts the store where a system of the lab uses one, and has it hold what they name.

    It is a process of this machine in the gateway's network namespace: it goes with the gateway, however that ends.

    Raises:
        LabError: moto is not installed, or it does not start.
    """
    wanted = [found for system in systems if (found := named(system))]
    if not wanted:
        return
    missing = [name for name in _NEEDS if importlib.util.find_spec(name) is None]
    if missing:
        raise LabError(f"The lab's object store needs {', '.join(missing)}: pip install 'mainstay[dev]'.")
    merged = {kind: sorted({name for found in wanted for name in found[kind]}) for kind in ("buckets", "distributions")}
    file = paths.root / "store.json"
    write_atomically(file, json.dumps(merged) + "\n")
    address = str(lab.network.gateway)
    if not connects(address, PORT):
        _start(lab.network.gateway_link, address, paths)


def _start(link: str, address: str, paths: LabPaths) -> None:
    argv = ["ip", "netns", "exec", link, sys.executable, "-m", store_server.__name__]
    log = paths.root / "store.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [*argv, address, str(PORT), str(paths.root / "store.json")],
            stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True, cwd="/", env=os.environ,
        )  # fmt: skip
    deadline = time.monotonic() + _START_S
    while not connects(address, PORT):
        if process.poll() is not None or time.monotonic() > deadline:
            said = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
            raise LabError(f"The lab's object store does not start: {said[-1] if said else 'it said nothing'}.")
        time.sleep(0.1)
