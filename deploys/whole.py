"""A host as a whole: the host scripts, then each component of its roles, in the order of `deploys/order.py`."""

from importlib import import_module

from pyinfra import host

from deploys.operations import hostkit, packages, together
from deploys.order import ORDER, PROVES, RELEASES
from mainstay import components, context


def apply() -> None:
    """Declares everything that pyinfra's current host should be."""
    environment, member = context.current()
    hostkit.installed(name="Host scripts")
    mine = components.chosen(environment, member)
    # pyinfra tells operations of one process apart by line numbers alone, without the file: without the position that
    # `host.loop` adds, two components merge wherever their lines happen to have the same numbers.
    for stem in host.loop(ORDER):
        if stem == PROVES:
            together.reached(name=context.TOGETHER)
        if stem in mine:
            import_module(f"deploys.components.{stem}.deploy").apply()


def fetch() -> None:
    """Declares the downloads of what `apply` would install on pyinfra's current host."""
    environment, member = context.current()
    wanted: set[str] = set()
    for stem in components.chosen(environment, member):
        needs = getattr(import_module(f"deploys.components.{stem}.deploy"), "needs", None)
        wanted |= set(needs(environment, member) if needs else [])
    if wanted:
        packages.fetched(sorted(wanted), name="Fetch packages")


def releases() -> None:
    """Declares only which releases pyinfra's current host should run."""
    environment, member = context.current()
    mine = components.chosen(environment, member)
    for stem in host.loop(RELEASES):
        if stem in mine:
            import_module(f"deploys.components.{stem}.deploy").apply()
