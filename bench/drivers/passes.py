"""`python -m bench.drivers.passes plan|apply DEPLOY HOST,...`: two passes of Mainstay over one set of connections.

Prints one line of JSON: seconds until everything is imported and loaded, to connect, and of each pass; what the second
pass cost in processor time; changes and failures. The second pass is the one with connections kept open.
"""

from __future__ import annotations

import time

STARTED = time.perf_counter()

from mainstay.fleet import Fleet  # noqa: E402  it brings pyinfra's patches, so it comes first

# isort: split
import json  # noqa: E402
import sys  # noqa: E402
from itertools import pairwise  # noqa: E402

from mainstay import inventory, project  # noqa: E402
from mainstay.cli import target  # noqa: E402


def main(verb: str, count: str, limit: str) -> None:
    """Runs the passes."""
    project.install()
    environment = inventory.load("bench", "staging", lab=inventory.lab_from_environment())
    names = limit.split(",")
    marks = [time.perf_counter()]
    outcomes = []
    with Fleet(environment, names) as fleet:
        marks.append(time.perf_counter())
        for _ in range(int(count)):
            used = time.process_time()
            one = fleet.apply(target.site()) if verb == "apply" else fleet.plan(target.site())
            marks.append(time.perf_counter())
            outcomes.append({"cpu": time.process_time() - used, "changes": one.changes, "failed": len(one.failed)})
    rows = list(one.hosts.values())
    said = {
        "imports": marks[0] - STARTED,
        "connect": marks[1] - marks[0],
        "passes": [after - before for before, after in pairwise(marks[1:])],
        "outcomes": outcomes,
        "operations": [len(row.ops) for row in rows],
        "questions": [row.questions for row in rows],
        "known": [row.known for row in rows],
        "reasons": sorted({row.reason for row in rows if not row.ok})[:3],
    }
    print(json.dumps(said))


if __name__ == "__main__":
    main(*sys.argv[1:])
