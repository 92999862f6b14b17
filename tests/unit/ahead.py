"""`python -m tests.unit.ahead`: of three hosts of this machine two have `AHEAD`, and the second waits for the first.

A process of its own, because pyinfra patches the standard library that pytest lives on.
"""

from __future__ import annotations

from tests.unit import passes  # first: it brings pyinfra's patches

# isort: split
import shutil
import sys
import tempfile
from collections.abc import Generator
from pathlib import Path

from pyinfra.api import operation
from pyinfra.context import host

from deploys.operations import together
from mainstay.context import AHEAD

FOLDER = Path(tempfile.mkdtemp(prefix="mainstay-ahead-"))


@operation()
def done(text: str, before: str) -> Generator[str, None, None]:
    """Says so in a file that all hosts share."""
    yield f"{before}; echo {text} >> {FOLDER}/log"


def declare() -> None:
    """The slow one goes ahead, or fails before it gets there; the last has nothing to do with the others."""
    if host.name == "slow":
        done("slow", f"sleep 1; {'false' if sys.argv[1] == 'fails' else 'true'} || exit 3", name="Ahead")
    if host.name != "other":
        together.reached(name=AHEAD)
    done(f"then-{host.name}", "true", name="Then")


def main() -> None:
    """Prints in which order they were done."""
    passes.applied(FOLDER, "slow", "waits", "other")
    words = (FOLDER / "log").read_text().split()
    print(*words[:2], *sorted(words[2:]))  # the last ones go on side by side
    shutil.rmtree(FOLDER)


if __name__ == "__main__":
    main()
