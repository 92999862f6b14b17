"""Whether the same inventory renders the same bytes again: here, and in a process that orders its sets differently."""

from __future__ import annotations

import json
import os
import subprocess
import sys

from mainstay import components
from mainstay.errors import MainstayError, Problem
from mainstay.inventory import Environment

_LIMIT_S = 120


def check(env: Environment) -> list[Problem]:
    """A problem for each file that came out differently the second time.

    Raises:
        InventoryError: a template fails.
    """
    first = _rendered(env)
    again = _rendered_elsewhere(env)
    differing = sorted({(host, path) for host in first for path in _differing(first[host], again.get(host, {}))})
    return [
        env.problem(("hosts", host), f"{path} rendered differently a second time", "the same bytes every time")
        for host, path in differing
    ]


def _rendered(env: Environment) -> dict[str, dict[str, str]]:
    return {
        name: {managed.path: managed.content for managed in components.rendered(env, host)}
        for name, host in env.hosts.items()
    }


def _rendered_elsewhere(env: Environment) -> dict[str, dict[str, str]]:
    seed = "1" if os.environ.get("PYTHONHASHSEED") != "1" else "2"
    surroundings = {key: value for key, value in os.environ.items() if key != "MAINSTAY_LAB"}
    done = subprocess.run(
        [sys.executable, "-m", "mainstay", "render", env.name, "--json"],
        env=surroundings | {"PYTHONHASHSEED": seed, "MAINSTAY_PROJECT": str(env.root)},
        capture_output=True,
        text=True,
        timeout=_LIMIT_S,
        check=False,
    )
    if done.returncode != 0:
        raise MainstayError(f"{env.name}: rendering it again failed: {done.stderr.strip()[:500]}")
    hosts = json.loads(done.stdout)["hosts"]
    return {name: {item["path"]: item["content"] for item in files} for name, files in hosts.items()}


def _differing(one: dict[str, str], two: dict[str, str]) -> set[str]:
    return {path for path in one.keys() | two.keys() if one.get(path) != two.get(path)}
