"""The inventory as pyinfra reads it, which account connects, and the lab's addresses over the inventory's."""

from __future__ import annotations

from pathlib import Path

import pytest
from pyinfra.api.exceptions import InventoryError as PyinfraInventoryError

from mainstay import components, ssh
from mainstay.errors import HostError, LabError, UsageError
from mainstay.inventory import load, loading
from mainstay.inventory.groups import ENVIRONMENT, HOST, groups, groups_of, known_hosts
from mainstay.inventory.operator import operator
from mainstay.lab.overlay import HostOverlay, Overlay
from tests.unit.inventories import SYSTEM, copied, loaded

KEY = "ssh-ed25519 " + "A" * 60


@pytest.fixture
def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Overlay:
    (tmp_path / "key.pub").write_text(f"{KEY} lab\n")
    places = {"production/eai-web-1": HostOverlay("198.18.0.11", 2222, 13)}
    overlay = Overlay("lab", tmp_path / "key", tmp_path / "known_hosts", places, ["gpu"])
    monkeypatch.setattr(loading.stores, "overlay", lambda lab, system: overlay)
    return overlay


def test_groups_are_roles(tmp_path: Path) -> None:
    env = loaded(copied(tmp_path))
    found = groups_of(env, "alex")
    assert {name: [host for host, _ in entries] for name, entries in found.items()} == {
        "all": list(env.hosts),
        "web": ["eai-web-1", "eai-web-2"],
        "app": ["eai-app-1", "eai-app-2", "eai-app-3"],
        "db": ["eai-db-1"],
        "cache": ["eai-cache-1"],
        "monitoring": ["eai-mon-1"],
    }


def test_data_of_a_host(tmp_path: Path) -> None:
    env = loaded(copied(tmp_path))
    (_, data), *_ = groups_of(env, "alex")["db"]
    own = env.hosts["eai-db-1"]
    assert (
        data.items()
        >= {
            "ssh_hostname": "198.51.100.31",
            "ssh_port": 22,
            "ssh_user": "alex",
            "ssh_strict_host_key_checking": "yes",
            "_sudo": True,
            ENVIRONMENT: env,
            HOST: own,
        }.items()
    )


def test_the_inventory_file_is_all_that_pyinfra_needs(tmp_path: Path) -> None:
    root = copied(tmp_path)
    assert [name for name, _ in groups(str(root / "inventories" / SYSTEM / "staging.py"))["app"]] == ["eai-stg-app-1"]


def test_pyinfras_debug_inventory_can_print_it(tmp_path: Path) -> None:
    """pyinfra prints host data as JSON; it asks an object that it does not know for `to_json()`."""
    env = loaded(copied(tmp_path))
    assert env.to_json() == "<Environment everydayai/production>"
    assert env.hosts["eai-db-1"].to_json().startswith("Host(name='eai-db-1', address='198.51.100.31'")


def test_a_faulty_inventory_is_one_sentence_of_pyinfras(tmp_path: Path) -> None:
    root = copied(tmp_path, ("system.yaml", "workers: 4 ", "workers: four "))
    with pytest.raises(PyinfraInventoryError, match=r"services\.backend\.workers: found 'four'"):
        groups(str(root / "inventories" / SYSTEM / "staging.py"))


def test_the_lab_replaces_addresses_keys_and_known_hosts(tmp_path: Path, lab: Overlay) -> None:
    env = load(SYSTEM, "production", root=copied(tmp_path / "p"), lab="lab")
    (_, data), *_ = groups_of(env, "alex")["web"]
    assert (data["ssh_hostname"], data["ssh_port"], data["ssh_key"]) == ("198.18.0.11", 2222, str(lab.key_path))
    assert known_hosts(env) == lab.known_hosts
    assert env.operators["alex"].keys[-1] == f"{KEY} lab", "in the lab every operator has the lab's key too"
    assert env.hosts["eai-web-1"].debian == 13, "what `lab up --debian` booted, whatever the inventory says"


def test_nobody_meets_a_real_host_from_the_lab(tmp_path: Path, lab: Overlay) -> None:
    """A host that the lab lacks keeps its own address, for files that name it; no connection goes there."""
    env = load(SYSTEM, "production", root=copied(tmp_path / "p"), lab="lab")
    other = env.hosts["eai-web-2"]
    assert other.address == "198.51.100.12"
    assert {name for entries in groups_of(env, "alex").values() for name, _ in entries} == {"eai-web-1"}
    with pytest.raises(HostError, match="eai-web-2: the lab 'lab' has no such host; `mainstay lab up everydayai` boot"):
        ssh.command_line(env, other)
    assert ssh.config_block(env, other) == "Host eai-web-2\n  ProxyCommand false\n"


def test_what_the_lab_cannot_prove_is_named_with_its_hosts(tmp_path: Path, lab: Overlay) -> None:
    """By the roles of the environment, also of hosts that this lab has not booted; in the real world nothing is."""
    ml = ("production.yaml", "198.51.100.23, roles: [app]", "198.51.100.23, roles: [app, ml]")
    root = copied(tmp_path / "p", ml)
    assert load(SYSTEM, "production", root=root, lab="lab").unproven == {"gpu": ["eai-app-3"]}
    assert load(SYSTEM, "staging", root=root, lab="lab").unproven == {}
    assert load(SYSTEM, "production", root=root).unproven == {}
    lab.unproven.clear()
    assert load(SYSTEM, "production", root=root, lab="lab").unproven == {}


def test_what_the_lab_does_without_is_named_and_has_no_host(tmp_path: Path, lab: Overlay) -> None:
    """Nothing of it is applied anywhere; a host that has another role too stays."""
    both = ("production.yaml", "198.51.100.23, roles: [app]", "198.51.100.23, roles: [app, monitoring]")
    root = copied(tmp_path / "p", both)
    whole = load(SYSTEM, "production", root=root, lab="lab")
    assert "eai-mon-1" in whole.hosts and "monitoring" in components.chosen(whole, whole.hosts["eai-web-1"])
    lab.without.append("monitoring")
    env = load(SYSTEM, "production", root=root, lab="lab")
    assert env.unproven == {"monitoring": ["eai-app-3", "eai-mon-1"]}
    assert set(whole.hosts) - set(env.hosts) == {"eai-mon-1"}
    assert not [one for one in env.listeners(env.hosts["eai-app-1"]) if "metrics" in one.what]
    assert [one for one in whole.listeners(whole.hosts["eai-app-1"]) if "metrics" in one.what]
    assert not [name for name, host in env.hosts.items() if "monitoring" in components.chosen(env, host)]
    assert set(load(SYSTEM, "production", root=root).hosts) == set(whole.hosts)


def test_known_hosts_of_the_inventory_come_before_the_operators(tmp_path: Path) -> None:
    root = copied(tmp_path)
    assert known_hosts(loaded(root)) == Path("~/.ssh/known_hosts").expanduser()
    own = root / "inventories" / SYSTEM / "known_hosts"
    own.write_text("")
    assert known_hosts(loaded(root)) == own


TWO = "operators:                                      # decided: the runbook names nobody; put your own people here\n"


def test_who_connects(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MAINSTAY_OPERATOR", raising=False)
    monkeypatch.setattr("getpass.getuser", lambda: "somebody")
    one = loaded(copied(tmp_path / "one"))
    two = loaded(copied(tmp_path / "two", ("system.yaml", TWO, f"{TWO}  kim: {{keys: [{KEY}]}}\n")))
    assert operator(one) == "alex"
    with pytest.raises(
        UsageError, match="'somebody' is not an operator of everydayai/production, set MAINSTAY_OPERATOR"
    ):
        operator(two)
    monkeypatch.setattr("getpass.getuser", lambda: "kim")
    assert operator(two) == "kim"
    monkeypatch.setenv("MAINSTAY_OPERATOR", "alex")
    assert operator(two) == "alex"
    monkeypatch.setenv("MAINSTAY_OPERATOR", "nobody")
    with pytest.raises(UsageError, match="MAINSTAY_OPERATOR: found 'nobody', expected an operator of"):
        operator(two)


def test_a_lab_without_its_key_is_one_sentence(tmp_path: Path, lab: Overlay) -> None:
    (tmp_path / "key.pub").unlink()
    with pytest.raises(
        LabError, match=r"key\.pub: found no readable public key, expected the lab's; boot the lab again"
    ):
        load(SYSTEM, "production", root=copied(tmp_path / "p"), lab="lab")
