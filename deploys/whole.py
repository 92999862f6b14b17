"""A host as a whole: the host scripts, all packages at once, then each component of its roles, in the order of
`deploys/order.py`."""

from importlib import import_module
from types import ModuleType

from pyinfra import host

from deploys.operations import hostkit, packages, together
from deploys.order import ORDER, PROVES, RELEASES
from mainstay import components, context


def apply() -> None:
    """Declares everything that pyinfra's current host should be."""
    hostkit.installed(name="Host scripts")
    mine = _mine(ORDER)
    # pyinfra tells operations of one process apart by line numbers alone, without the file: without the position that
    # `host.loop` adds, two components merge wherever their lines happen to have the same numbers.
    for stem in host.loop(ORDER):
        if stem in mine and hasattr(mine[stem], "before_packages"):
            mine[stem].before_packages()
    _packages(mine)
    ahead = [stem for stem in ORDER if stem in mine and hasattr(mine[stem], "ahead")]
    for stem in host.loop(ahead):
        mine[stem].ahead()
    if ahead:
        together.reached(name=context.AHEAD)
    for stem in host.loop(ORDER):
        if stem == PROVES:
            together.reached(name=context.TOGETHER)
        if stem in mine:
            mine[stem].apply()


def fetch() -> None:
    """Declares the downloads of what `apply` would install on pyinfra's current host.

    Not of components with a source of their own, which apt is told of when they are applied; that there is one is
    asked here too.
    """
    mine = _mine(ORDER)
    own = {stem: deploy for stem, deploy in mine.items() if getattr(deploy, "OWN_SOURCE", False)}
    _union("needs", own)
    wanted = _union("needs", {stem: deploy for stem, deploy in mine.items() if stem not in own})
    if wanted:
        packages.fetched(wanted, name="Fetch packages")


def releases() -> None:
    """Declares only which releases pyinfra's current host should run."""
    mine = _mine(RELEASES)
    _packages(mine)
    for stem in host.loop(RELEASES):
        if stem in mine:
            mine[stem].apply()


def _mine(order: list[str]) -> dict[str, ModuleType]:
    """The deploys of the current host's components, by stem."""
    chosen = components.chosen(*context.current())
    return {stem: import_module(f"deploys.components.{stem}.deploy") for stem in order if stem in chosen}


def _packages(mine: dict[str, ModuleType]) -> None:
    """One installation for all components: apt reads its lists and the host's packages once."""
    wanted = _union("needs", mine)
    if wanted:
        packages.present(wanted, units=_union("starts", mine), name="Packages")


def _union(question: str, mine: dict[str, ModuleType]) -> list[str]:
    """What the components that have the function `question` answer for the current host."""
    current = context.current()
    return sorted(
        {name for deploy in mine.values() if hasattr(deploy, question) for name in getattr(deploy, question)(*current)}
    )
