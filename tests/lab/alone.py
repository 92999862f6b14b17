"""`python -m tests.lab.alone SYSTEM/ENV`: what the last plan asked of each host, each by itself and all together.

Prints, by host, how many questions there are, how many processes answered them together, and what was not the same.
"""

from __future__ import annotations

import sys

from mainstay.fleet import Fleet  # first: it brings pyinfra's patches

# isort: split
import json
from typing import Any

from mainstay import inventory, project
from mainstay.cli import target
from mainstay.transport import together
from mainstay.transport.memory import recalled
from mainstay.transport.shell import Answer, Forgotten, Question, Shell, result


def compared(shell: Shell, questions: list[Question]) -> dict[str, Any]:
    """The two ways over one shell."""

    def said(one: Any) -> tuple[int, bytes, bytes] | str:
        try:
            answer: Answer = result(one, 60)
        except Forgotten:
            return "not to be told from the others'"
        return answer.status, answer.out, answer.err

    alone = [said(one) for one in shell.ask_all(questions)]
    joined = [said(one) for one in together.ask(shell, questions)]
    return {
        "questions": len(questions),
        "asked": len(together.grouped(questions)),
        "different": [
            [question.command[:300], repr(one)[:600], repr(other)[:600]]
            for question, one, other in zip(questions, alone, joined, strict=True)
            if one != other
        ],
    }


def main(target_name: str) -> None:
    """Prints one JSON object."""
    project.install()
    system, _, env = target_name.partition("/")
    environment = inventory.load(system, env, lab=inventory.lab_from_environment())
    with Fleet(environment, list(environment.hosts)) as fleet:
        fleet.plan(target.site())  # the project's facts tell which shapes there are
        memory = recalled(environment, target.site().name)
        found = {name: compared(fleet._shells[name], memory.of(name)) for name in environment.hosts}
    print(json.dumps(found))


if __name__ == "__main__":
    main(*sys.argv[1:])
