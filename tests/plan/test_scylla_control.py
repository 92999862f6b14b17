"""The host's own script for ScyllaDB, as far as it goes without it."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from deploys.components.scylla import files, schema
from deploys.components.scylla.section import section
from mainstay.inventory import Environment
from tests.plan.scylla import FIRST, environment


@pytest.fixture(scope="module")
def env(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Environment]:
    with pytest.MonkeyPatch.context() as patch:
        yield environment(tmp_path_factory.mktemp("cluster"), patch)


SCRIPT = Path(__file__).parents[2] / "templates/hostkit/scylla-control"


@pytest.fixture
def node(tmp_path: Path, env: Environment) -> Any:
    """Runs the host's script with programs that answer as the test says; gives what it did and said."""
    conf, bin_ = tmp_path / "scylla.conf", tmp_path / "bin"
    bin_.mkdir()

    def run(
        verb: str, *, others: str = "", before: str = "", data: bool = False, **programs: str
    ) -> subprocess.CompletedProcess[str]:
        text = files._control(env, section(env), env.hosts[FIRST])
        text = re.sub(r"(?m)^before=.*$", f'before="{before}"', text)
        conf.write_text(
            re.sub(r"(?m)^others=.*$", f'others="{others}"', text) + f"cql_port={programs.pop('port', '1')}\n"
        )
        (tmp_path / "data").mkdir(exist_ok=True)
        if data:
            (tmp_path / "data/system").mkdir(exist_ok=True)
        for name, body in {
            "systemctl": "exit 0",
            "nodetool": "exit 0",
            "cqlsh": "exit 1",
            "ip": "exit 0",
            **programs,
        }.items():
            (bin_ / name).write_text(f'#!/bin/bash\necho {name} "$@" >> {tmp_path}/calls\n{body}\n')
            (bin_ / name).chmod(0o755)
        script = SCRIPT.read_text().replace("/etc/mainstay/scylla.conf", str(conf))
        script = script.replace("/var/lib/scylla/data", str(tmp_path / "data")).replace(
            "/var/lib/mainstay", str(tmp_path)
        )
        (tmp_path / "control").write_text(script.replace("/run/mainstay", str(tmp_path / "run")))
        surroundings = {"PATH": f"{bin_}:/usr/sbin:/usr/bin:/sbin:/bin"}
        return subprocess.run(
            ["bash", str(tmp_path / "control"), verb],
            env=surroundings,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )

    calls = tmp_path / "calls"
    run.calls = lambda: calls.read_text().splitlines() if calls.exists() else []  # type: ignore[attr-defined]
    return run


def test_a_first_node_without_data_makes_no_second_cluster(node: Any) -> None:
    """Its disk was lost, and the others run: whoever starts it as it is has two clusters (seeds)."""
    import socket

    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        done = node("start", others="127.0.0.1", port=str(other.getsockname()[1]))
    assert done.returncode == 1
    assert done.stderr.startswith(
        "mainstay: no data here, and 127.0.0.1 runs: a first node would make a second cluster"
    )
    assert not [call for call in node.calls() if call.startswith("systemctl start")]


def test_a_node_is_not_restarted_while_another_is_down(node: Any) -> None:
    done = node("restart", others="192.0.2.9", data=True, nodetool='echo "DN  192.0.2.9  1 GB  256  ?  x  rack1"')
    assert done.returncode == 1
    assert done.stderr.startswith("mainstay: 192.0.2.9 is not UN")
    assert node.calls() == ["nodetool status"]


def test_a_disk_that_scylla_does_not_take_is_refused(node: Any, env: Environment) -> None:
    address = env.hosts[FIRST].address
    done = node("check", ip=f'echo "2: eth0 inet {address}/24"', stat="echo ext2/ext3")
    assert (done.returncode, "expected xfs" in done.stderr) == (1, True)
    assert node("check", ip=f'echo "2: eth0 inet {address}/24"', stat="echo xfs").returncode == 0
    assert "no interface has the address" in node("check", stat="echo xfs").stderr


@pytest.mark.covers("DF-06")
def test_upkeep_repairs_each_keyspace_cleans_up_after_a_new_node_and_keeps_its_marks(
    node: Any, env: Environment, tmp_path: Path
) -> None:
    ids = ["0c5cdba4-2f6d-4e0b-a0c4-0a4b6e9f2f11", "1d6dcba4-2f6d-4e0b-a0c4-0a4b6e9f2f12"]
    row = '"UN  192.0.2.{0}  1 GB  256  ?  {1}  rack1"'
    replication = '{"replication": {"class": "org.apache.cassandra.locator.NetworkTopologyStrategy", "dc1": "3"}}'
    answers = f"cat > /dev/null; echo ' {replication}'"
    (tmp_path / "scylla").mkdir()
    (tmp_path / "scylla/nodes").write_text(f"{ids[0]}\n")
    old = tmp_path / "data/shop/items/snapshots/snapshot_old"
    old.mkdir(parents=True)
    subprocess.run(["touch", "-d", "9 days ago", str(old)], check=True)
    status = "; ".join(f"echo {row.format(number, one)}" for number, one in enumerate(ids))
    both = {"nodetool": f'[ "$1" != status ] || {{ {status}; }}', "cqlsh": answers}
    done = node("upkeep", **both)
    assert done.returncode == 0, done.stderr
    calls = [call for call in node.calls() if call.startswith("nodetool") and "status" not in call]
    keyspaces = list(section(env).keyspaces)
    assert calls == [
        "nodetool cleanup",
        *(f"nodetool repair -pr {k}" for k in keyspaces),
        "nodetool clearsnapshot -t snapshot_old",
    ]
    kept = (tmp_path / "scylla/repaired/tchat_auth").read_text().split()
    assert kept == ["tchat_auth", schema.fingerprint({"class": "NetworkTopologyStrategy", "dc1": "3"})]
    (tmp_path / "calls").unlink()
    assert node("upkeep", **both).returncode == 0
    assert "nodetool cleanup" not in node.calls(), "nobody has joined since"


def test_a_repair_that_fails_leaves_no_mark(node: Any, tmp_path: Path) -> None:
    done = node("upkeep", nodetool='[ "$1" != repair ] || exit 1', cqlsh="cat > /dev/null")
    assert (done.returncode, done.stderr) == (1, "mainstay: repair of tchat_auth failed\n")
    assert not list((tmp_path / "scylla/repaired").iterdir())
