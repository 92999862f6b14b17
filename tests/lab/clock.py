"""`python -m tests.lab.clock STEP FILE`: commands on a runner of this machine while both sides' clock steps.

Run under libfaketime, which reads FILE: `STEP` seconds are written there in mid-command. What came of it is printed as
JSON, with seconds that no step of a clock moves.
"""

from __future__ import annotations

import json
import select
import sys
import time
from concurrent.futures import Future
from pathlib import Path

from mainstay.transport.knowledge import Knowledge
from mainstay.transport.shell import Answer, Question, Shell, result
from mainstay.transport.streams import Program


def main(step: str, file: str) -> None:
    """Prints what each command answered, when, and what the clocks said."""
    shell = Shell(lambda command: Program(["sh", "-c", command]), sudo="")
    shell.wait()
    knowledge = Knowledge(shell)
    before = knowledge.ask(Question("date +%s"))
    quick = shell.ask("sleep 2; echo done", limit=6)
    hanging = shell.ask("sleep 60", limit=4)
    wall, started = time.time(), time.monotonic()
    select.select([], [], [], 1)  # libfaketime 0.9.10 breaks time.sleep
    Path(file).write_text(f"{int(step):+d}\n")
    found = {"quick": _ended(quick, 6, started)}
    found["hanging"] = _ended(hanging, 4, started)
    change = shell.change("sleep 1; date +%s", limit=5)
    found["change"] = _ended(change, 5, started)
    again = knowledge.ask(Question("date +%s"))
    found["known"] = ["still" if again.out == before.out else "asked again", time.monotonic() - started]
    stepped = {"here": time.time() - wall - (time.monotonic() - started), "there": float(found["change"][0]) - wall}
    shell.close()
    print(json.dumps(found | stepped))


def _ended(future: Future[Answer], limit: float, started: float) -> list[object]:
    try:
        said = result(future, limit).out.decode()
    except (TimeoutError, OSError) as error:
        said = str(error)
    return [said, time.monotonic() - started]


if __name__ == "__main__":
    main(*sys.argv[1:])
