"""`python -m tests.lab.drive plan|apply|fetch SYSTEM/ENV HOST`: one pass over one host, its outcome as JSON.

A process of its own, because pyinfra patches the standard library that pytest lives on.
"""

from __future__ import annotations

import sys

from mainstay.fleet import Fleet  # first: it brings pyinfra's patches

# isort: split
import json
from dataclasses import asdict

from mainstay import inventory, project


def main(verb: str, target: str, name: str) -> None:
    """Prints the host's outcome."""
    project.install()
    system, _, env = target.partition("/")
    environment = inventory.load(system, env, lab=inventory.lab_from_environment())
    deploy = project.bundled() / "deploys" / ("fetch.py" if verb == "fetch" else "site.py")
    with Fleet(environment, [name]) as fleet:
        outcome = fleet.plan(deploy) if verb == "plan" else fleet.apply(deploy)
    host = outcome.hosts[name]
    ops = [asdict(op) for op in host.changes]
    print(json.dumps({"ok": host.ok, "reason": host.reason, "changes": ops}))


if __name__ == "__main__":
    main(*sys.argv[1:])
