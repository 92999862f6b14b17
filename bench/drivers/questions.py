"""`python -m bench.drivers.questions FOLDER HOST,...`: writes what the last plan asked of each host as one script.

The floor asks the very same: each question in a shell of its own, as root, answers to standard output.
"""

from __future__ import annotations

import shlex
import sys
from pathlib import Path

from mainstay import inventory, project
from mainstay.transport.memory import recalled


def main(folder: str, limit: str) -> None:
    """One file a host; ends with 1 where a host was never asked."""
    project.install()
    environment = inventory.load("bench", "staging", lab=inventory.lab_from_environment())
    memory = recalled(environment, "site.py")
    for name in limit.split(","):
        questions = memory.of(name)
        if not questions:
            sys.exit(f"{name}: found no questions, expected those of a plan")
        lines = [f"sh -c {shlex.quote(question.command)} </dev/null" for question in questions]
        script = "\n".join([*lines, f"echo asked {len(lines)}", ""])
        Path(folder, f"{name}.sh").write_text(script, encoding="utf-8", errors="surrogateescape")


if __name__ == "__main__":
    main(*sys.argv[1:])
