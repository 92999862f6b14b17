"""What stands in pyinfra's place comes out as pyinfra's own does."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pyinfra
import pytest
from pyinfra.api import util
from pyinfra.api.arguments import all_global_arguments

from mainstay.transport.upstream import order_from_stack

DEPLOY = """
def inner():
    return both()
def outer(more):
    found = inner()
    return outer(more - 1) if more else found
result = [outer(n) for n in range(3)]
"""


@pytest.mark.parametrize("cli", [True, False])
@pytest.mark.parametrize("deploy", ["deploy.py", "another.py", None])
def test_operations_are_ordered_as_pyinfra_orders_them(
    monkeypatch: pytest.MonkeyPatch, cli: bool, deploy: str | None
) -> None:
    monkeypatch.setattr(pyinfra, "is_cli", cli)
    state = SimpleNamespace(current_deploy_filename=deploy, current_op_file_number=7)
    asked = {}
    # Called in a file that counts as pyinfra's, as an operation's wrapper is.
    code = compile("def both():\n    return original(state), ours(state)\n", util.PYINFRA_INSTALL_DIR + "/x.py", "exec")
    exec(code, asked)
    asked |= {"original": util.get_operation_order_from_stack, "ours": order_from_stack, "state": state}
    names = {"both": asked["both"]}
    exec(compile(DEPLOY, "deploy.py", "exec"), names)
    assert all(ours == original for original, ours in names["result"])
    if deploy == "deploy.py":
        assert all(ours for _, ours in names["result"])


def test_pyinfra_uses_them() -> None:
    look = (
        "import mainstay.fleet, sys; from pyinfra.api.arguments import all_global_arguments as now\n"
        "o = sys.modules['pyinfra.api.operation']; f = sys.modules['pyinfra.api.facts']\n"
        "assert o.get_operation_order_from_stack.__module__ == 'mainstay.transport.upstream'\n"
        "assert f.all_global_arguments is now and now() is now() and now() == now.__wrapped__()\n"
    )
    done = subprocess.run([sys.executable, "-c", look], capture_output=True, text=True, check=False, cwd=Path("/"))
    assert done.returncode == 0, done.stderr
    assert all_global_arguments()
