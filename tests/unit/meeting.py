"""`python -m tests.unit.meeting changes|reads`: two hosts of this machine read the same file before and after they wait
for each other; one of them writes it before it comes, or changes nothing.

Prints what the other one has read, before and behind, and how often the file was read. A process of its own, because
pyinfra patches the standard library that pytest lives on.
"""

from __future__ import annotations

from tests.unit import passes  # first: it brings pyinfra's patches

# isort: split
import shutil
import sys
import tempfile
from collections.abc import Generator
from pathlib import Path

from pyinfra.api import FactBase, operation
from pyinfra.context import host

from deploys.operations import together
from mainstay.context import AHEAD

FOLDER = Path(tempfile.mkdtemp(prefix="mainstay-meeting-"))
seen: list[str] = []


class Shared(FactBase[str]):
    """What the file holds; reading it leaves a trace."""

    def command(self) -> str:
        return f"echo read >> {FOLDER}/trace; cat {FOLDER}/shared"


@operation()
def read(writes: str) -> Generator[str, None, None]:
    """Reads the file, and writes it where there is something to write."""
    found = host.get_fact(Shared)
    if host.name == "waits":
        seen.append(found)
    if writes:
        yield f"sleep 1; echo {writes} > {FOLDER}/shared"
    else:
        host.noop("as it should be")


def declare() -> None:
    """What each of them does."""
    read("new" if host.name == "writes" and sys.argv[1] == "changes" else "", name="Before")
    together.reached(name=AHEAD)
    read("", name="Behind")


def main() -> None:
    """Prints it."""
    (FOLDER / "shared").write_text("old\n")
    passes.applied(FOLDER, "writes", "waits")
    print(*seen, len((FOLDER / "trace").read_text().split()))
    shutil.rmtree(FOLDER)


if __name__ == "__main__":
    main()
