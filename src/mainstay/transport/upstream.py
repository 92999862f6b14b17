"""What pyinfra 3.10 works out anew for each operation and fact, although it comes out the same: nearly half of a plan.

All belong upstream: a cache of `all_global_arguments`, a `get_operation_order_from_stack` that takes line numbers from
frames and reads no source files, and a look-up of host data that makes neither a generator nor a sentence for each of
the 32 arguments that no host sets. Another version of pyinfra is left as it is.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Iterable
from copy import copy
from importlib import import_module
from typing import Any

import pyinfra
from pyinfra.api.host import HostData
from pyinfra.api.inventory import Inventory
from pyinfra.api.util import PYINFRA_INSTALL_DIR


def order_from_stack(state: Any) -> list[int]:
    """The line numbers that lead to an operation, from its deploy file inwards: how pyinfra orders operations."""
    places = []
    frame = sys._getframe(1)
    while frame is not None:
        places.append((frame.f_code.co_filename, frame.f_lineno))
        frame = frame.f_back  # type: ignore[assignment]
    places.reverse()
    files = [file for file, _ in places]
    deploy = state.current_deploy_filename
    start = 0
    if deploy:
        # Where the deploy file is not there, pyinfra's own loop ends at the innermost place.
        start = files.index(deploy) if deploy in files else len(files) - 1
    numbers = [line for file, line in places[start:] if not file.startswith(PYINFRA_INSTALL_DIR)]
    return [state.current_op_file_number, *numbers] if pyinfra.is_cli else numbers


def data_of(data: Any, key: str) -> Any:
    """`HostData.__getattr__`: the first of a host's data that has the key, copied so that nobody changes it.

    Raises:
        AttributeError: none has it.
    """
    for source in data.datas:
        found = source() if callable(source) else source
        if key in found:
            return copy(found[key])
    raise AttributeError(key)


def groups_data(inventory: Any, groups: Iterable[str]) -> dict[str, Any]:
    """`Inventory.get_groups_data`: of two groups that set the same, the last counts."""
    found: dict[str, Any] = {}
    for group in groups:
        own = inventory.group_data.get(group)
        if own:
            found.update(own)
    return found


def install() -> None:
    """Puts them in pyinfra's place; where it is another version, nothing."""
    if not pyinfra.__version__.startswith("3.10."):
        return
    # By their names: `pyinfra.api.operation`, as an attribute, is the decorator.
    arguments, facts, operation = (import_module(f"pyinfra.api.{name}") for name in ("arguments", "facts", "operation"))
    cached = functools.cache(arguments.all_global_arguments)
    arguments.all_global_arguments = facts.all_global_arguments = cached  # type: ignore[attr-defined]
    operation.get_operation_order_from_stack = order_from_stack  # type: ignore[attr-defined]
    HostData.__getattr__ = data_of  # type: ignore[method-assign]
    Inventory.get_groups_data = groups_data  # type: ignore[method-assign]
