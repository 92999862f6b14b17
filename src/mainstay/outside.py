"""What belongs to an environment and to none of its hosts: a site in an object store, with a CDN before it.

A component names its own by `deploys/components/<stem>/outside.py` with a function `outside(env) -> list[Outside]`. A
run brings it about when all its hosts are verified: it is the last thing that changes, and the first that is put back.
"""

from __future__ import annotations

import importlib
import importlib.util
from typing import Protocol

from mainstay import project
from mainstay.errors import MainstayError
from mainstay.inventory import Environment


class OutsideError(MainstayError):
    """Something outside of the hosts did not answer, or refused; the sentence says what and why."""


class Outside(Protocol):
    """One such thing. Every method asks what is there now; all raise OutsideError."""

    @property
    def name(self) -> str:
        """What and where it is, as plans and summaries name it."""

    @property
    def hosts(self) -> list[str]:
        """The hosts that must be verified before it follows them."""

    def pending(self) -> list[str]:
        """What `apply` would do, a line each; empty where it is as it should be. Reads only."""

    def apply(self, run: str) -> int:
        """Brings it to what the inventory says; the number of changes. A second time changes nothing."""

    @property
    def component(self) -> str:
        """The stem of the component that it belongs to."""

    def verify(self) -> list[tuple[str, str]]:
        """Each check's name, and why it fails; the reason is empty where it does not."""

    def put_back(self, run: str) -> list[str]:
        """Takes back what that run did, if it did anything; what is not as it was, a sentence each."""


def of(environment: Environment) -> list[Outside]:
    """Everything that the environment's components have outside of hosts."""
    project.install()
    found: list[Outside] = []
    for stem in environment.sections:
        name = f"deploys.components.{stem}.outside"
        if importlib.util.find_spec(f"deploys.components.{stem}") and importlib.util.find_spec(name):
            found += importlib.import_module(name).outside(environment)
    return found


def pending(environment: Environment) -> dict[str, list[str]]:
    """What is not as it should be, by name; things that are as they should be are left out.

    Raises:
        OutsideError: one of them does not answer.
    """
    asked = {each.name: each.pending() for each in of(environment)}
    return {name: lines for name, lines in asked.items() if lines}
