"""What stands in pyinfra's place comes out as pyinfra's own does."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pyinfra
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyinfra.api import Inventory, util
from pyinfra.api.arguments import all_global_arguments
from pyinfra.api.host import HostData

from mainstay.transport.upstream import data_of, groups_data, order_from_stack

# pyinfra's own, where another test has put ours in their place.
_GETATTR = HostData.__getattr__
_GROUPS_DATA = Inventory.get_groups_data

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


KEYS = st.sampled_from(["_sudo", "_env", "ssh_user", "roles"])
DATA = st.dictionaries(KEYS, st.one_of(st.none(), st.booleans(), st.lists(st.integers(), max_size=2)), max_size=3)


@given(layers=st.lists(DATA, min_size=6, max_size=6), key=KEYS)
def test_host_data_is_found_as_pyinfra_finds_it(layers: list[dict[str, Any]], key: str) -> None:
    """Some layers are dictionaries, others are asked for anew each time; what is given away is a copy."""
    data = HostData(SimpleNamespace(name="host"), *layers[:3], *(lambda layer=layer: layer for layer in layers[3:]))
    missing = object()
    found, own = (getter(data, key, missing) for getter in (_original, _ours))
    assert found == own
    if isinstance(own, list):
        own.append("changed")
        assert _ours(data, key, missing) == found


def _original(data: HostData, key: str, default: object) -> Any:
    try:
        return _GETATTR(data, key)
    except AttributeError:
        return default


def _ours(data: HostData, key: str, default: object) -> Any:
    try:
        return data_of(data, key)
    except AttributeError:
        return default


@given(groups=st.dictionaries(st.sampled_from("abc"), DATA), asked=st.lists(st.sampled_from("abcd"), max_size=4))
def test_data_of_groups_is_pyinfra_s(groups: dict[str, dict[str, Any]], asked: list[str]) -> None:
    inventory = Inventory(([], {}))
    inventory.group_data = groups
    assert groups_data(inventory, asked) == _GROUPS_DATA(inventory, asked)


def test_pyinfra_uses_them() -> None:
    look = (
        "import mainstay.fleet, sys; from pyinfra.api.arguments import all_global_arguments as now\n"
        "o = sys.modules['pyinfra.api.operation']; f = sys.modules['pyinfra.api.facts']\n"
        "assert o.get_operation_order_from_stack.__module__ == 'mainstay.transport.upstream'\n"
        "from pyinfra.api.host import HostData; from pyinfra.api.inventory import Inventory\n"
        "ours = (HostData.__getattr__.__module__, Inventory.get_groups_data.__module__)\n"
        "assert set(ours) == {'mainstay.transport.upstream'}\n"
        "assert f.all_global_arguments is now and now() is now() and now() == now.__wrapped__()\n"
    )
    done = subprocess.run([sys.executable, "-c", look], capture_output=True, text=True, check=False, cwd=Path("/"))
    assert done.returncode == 0, done.stderr
    assert all_global_arguments()
