"""What pyinfra 3.10 works out anew for each operation and fact, although it comes out the same: nearly half of a plan.

Both belong upstream: a cache of `all_global_arguments`, and a `get_operation_order_from_stack` that takes line numbers
from frames and reads no source files. Another version of pyinfra is left as it is.
"""

from __future__ import annotations

import functools
import sys
from importlib import import_module
from typing import Any

import pyinfra
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


def install() -> None:
    """Puts both in pyinfra's place; where it is another version, nothing."""
    if not pyinfra.__version__.startswith("3.10."):
        return
    # By their names: `pyinfra.api.operation`, as an attribute, is the decorator.
    arguments, facts, operation = (import_module(f"pyinfra.api.{name}") for name in ("arguments", "facts", "operation"))
    cached = functools.cache(arguments.all_global_arguments)
    arguments.all_global_arguments = facts.all_global_arguments = cached  # type: ignore[attr-defined]
    operation.get_operation_order_from_stack = order_from_stack  # type: ignore[attr-defined]
