"""A host as a whole: the host scripts, then each component of its roles, in the order of `deploys/order.py`."""

from importlib import import_module

from deploys.operations import hostkit
from deploys.order import RELEASES
from mainstay import components, context


def apply() -> None:
    """Declares everything that pyinfra's current host should be."""
    environment, member = context.current()
    hostkit.installed(name="Host scripts")
    for stem in components.chosen(environment, member):
        import_module(f"deploys.components.{stem}.deploy").apply()


def releases() -> None:
    """Declares only which releases pyinfra's current host should run."""
    environment, member = context.current()
    for stem in components.chosen(environment, member):
        if stem in RELEASES:
            import_module(f"deploys.components.{stem}.deploy").apply()
