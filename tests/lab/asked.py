"""`python -m tests.lab.asked SYSTEM/ENV FILE HOST...`: one plan of a deploy file; what came of each host, as JSON.

A process of its own, because pyinfra patches the standard library that pytest lives on.
"""

from __future__ import annotations

import sys

from mainstay.fleet import Fleet  # first: it brings pyinfra's patches

# isort: split
import json
from pathlib import Path

from mainstay import inventory, project


def main(target: str, deploy: str, *names: str) -> None:
    """Prints every host's outcome."""
    project.install()
    system, _, env = target.partition("/")
    environment = inventory.load(system, env, lab=inventory.lab_from_environment())
    with Fleet(environment, list(names)) as fleet:
        outcome = fleet.plan(Path(deploy))
    rows = {
        name: {"ok": host.ok, "reason": host.reason, "questions": host.questions, "known": host.known}
        for name, host in outcome.hosts.items()
    }
    print(json.dumps(rows))


if __name__ == "__main__":
    main(*sys.argv[1:])
