"""The bench's slow line, its inventory, and how it reads what its contenders print."""

from __future__ import annotations

import json
import os
import select
import signal
import socket
import threading
import time
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from bench import ground, hosts, meter, rivals, targets
from bench.contenders import CONTENDERS, contender
from bench.errors import BenchError
from bench.wan import Line, carry
from mainstay.inventory import load


@given(st.lists(st.floats(0, 100), min_size=1, max_size=30).map(sorted), st.floats(0, 1))
def test_frames_come_out_in_order_and_each_late_by_the_delay(moments: list[float], delay: float) -> None:
    line = Line(delay)
    for number, moment in enumerate(moments):
        line.take(str(number).encode(), moment)
    assert line.next == moments[0] + delay
    assert list(line.due(moments[0] + delay / 2 - 0.001)) == []
    assert [int(frame) for frame in line.due(moments[-1] + delay)] == list(range(len(moments)))
    assert line.next == float("inf")


def test_a_line_that_is_full_drops_the_oldest() -> None:
    line = Line(0, most=2)
    for frame in (b"a", b"b", b"c"):
        line.take(frame, 0)
    assert list(line.due(0)) == [b"b", b"c"]


def test_frames_are_carried_both_ways_and_late() -> None:
    """Over sockets instead of TAP devices: the loop is the same."""
    left, one = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    right, other = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    carrier = threading.Thread(target=carry, args=(one.fileno(), other.fileno(), 0.05))
    carrier.start()
    try:
        for sender, receiver in ((left, right), (right, left)):
            started = time.monotonic()
            for frame in (b"first", b"second"):
                sender.send(frame)
            receiver.settimeout(5)
            assert [receiver.recv(100), receiver.recv(100)] == [b"first", b"second"]
            assert 0.05 <= time.monotonic() - started < 1
    finally:
        left.close()
        carrier.join(5)
    assert not carrier.is_alive()


_POLL = select.poll


class _Deaf:
    """A poll that tells no hang-up, as gevent's."""

    def __init__(self) -> None:
        self._own = _POLL()
        self.register = self._own.register

    def poll(self, wait: int | None) -> list[tuple[int, int]]:
        return [(device, select.POLLIN) for device, _ in self._own.poll(wait)]


def test_a_line_ends_with_its_other_end_where_poll_tells_no_hang_up(monkeypatch: pytest.MonkeyPatch) -> None:
    left, one = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    _right, other = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    monkeypatch.setattr(select, "poll", _Deaf)
    carrier = threading.Thread(target=carry, args=(one.fileno(), other.fileno(), 0.05), daemon=True)
    carrier.start()
    left.close()
    carrier.join(5)
    assert not carrier.is_alive()


def test_the_system_has_a_port_for_each_service_and_each_role_on_each_database() -> None:
    pattern = yaml.safe_load(ground.PATTERN.read_text())
    common = ground.system_yaml(pattern)
    ports = [service["port"] for service in common["services"].values()]
    assert len(set(ports)) == len(pattern["services"]) == 6
    assert len(common["postgres"]["databases"]) == pattern["databases"]
    for role in common["postgres"]["roles"].values():
        assert role["databases"] == list(common["postgres"]["databases"])
    assert "databases" not in pattern["common"]["postgres"]["roles"]["tenants_owner"], "the pattern is left as it is"


def test_its_inventory_is_taken_with_a_database_and_a_cache_on_every_host(tmp_path: Path) -> None:
    """No service is told of any of them, so that none of them is one that nobody asks."""
    folder = tmp_path / "inventories" / ground.SYSTEM
    folder.mkdir(parents=True)
    common = ground.system_yaml(yaml.safe_load(ground.PATTERN.read_text()))
    (folder / "system.yaml").write_text(ground._yaml(common))
    for env, members, network in (("staging", ground.names(3), "10.99"), ("production", ("bench-prod",), "10.98")):
        content = ground.environment_yaml(members, f"{env}.bench.test", network)
        (folder / f"{env}.yaml").write_text(ground._yaml(content))
    (folder / "releases.yaml").write_text("releases: {}\n")
    assert len(load(ground.SYSTEM, "staging", root=tmp_path).hosts_of("db")) == 3


def test_addresses_are_different_for_a_thousand_hosts() -> None:
    found = ground.environment_yaml(ground.names(1000), "a.test", "10.99")["hosts"]
    assert len({host["address"] for host in found.values()}) == len(found) == 1000


def test_an_artefact_is_the_same_bytes_each_time(tmp_path: Path) -> None:
    assert ground._artefact(tmp_path / "a", "mail") == ground._artefact(tmp_path / "b", "mail")


@pytest.mark.parametrize("name", ["mainstay-open", "pyinfra-open"])
def test_a_plan_that_found_changes_is_no_measurement_of_one_without(name: str) -> None:
    one = contender("plan", name)
    said = {"outcomes": [{"changes": 1, "failed": 0}]}
    assert "expected neither changes nor failures" in one.wrong(0, json.dumps(said), "")
    assert one.wrong(0, json.dumps({"outcomes": [{"changes": 0, "failed": 0}]}), "") == ""
    assert one.wrong(1, "", "a reason") == "ended with 1: a reason"


def test_every_contender_says_what_is_wrong_where_it_failed() -> None:
    for case, contenders in CONTENDERS.items():
        for name, one in contenders.items():
            assert one.wrong(3, "", "the last words") == "ended with 3: the last words", f"{case}/{name}"


def test_an_unknown_contender_is_one_sentence() -> None:
    with pytest.raises(BenchError, match="found plan/nobody, expected"):
        contender("plan", "nobody")


def test_the_time_of_a_process_grows_with_its_work() -> None:
    before = meter.cpu_of_process(os.getpid())
    deadline = time.process_time() + 0.1
    while time.process_time() < deadline:
        pass
    assert meter.cpu_of_process(os.getpid()) > before
    assert meter.cpu_of_process(2**22 + 1) == 0.0


def test_what_runs_before_a_measured_command_leaves_what_it_leaves(tmp_path: Path) -> None:
    """The connections that the next command is to find; in the control group of one that is measured they would end."""
    kept = tmp_path / "pid"
    script = f"sleep 30 & echo $! > {kept}; exit 3"
    started = time.monotonic()
    assert meter.before(["sh", "-c", script], dict(os.environ), tmp_path, 20) == 3
    assert time.monotonic() - started < 10
    left = int(kept.read_text())
    os.kill(left, 0)
    os.kill(left, signal.SIGKILL)


# What pyinfra 3.10 prints of a plan, cut to three operations.
PYINFRA = """
    Operation                                                Change          Conditional Change
    Host scripts                                             -               -
    redis | Configure Redis                                  {change}          -
    User bench-search                                        -               {conditional}
"""


@pytest.mark.parametrize(
    ("change", "conditional", "told"),
    [
        ("-", "-", ""),
        ("1 (bench-001)", "-", "found changes by redis | Configure Redis, expected none"),
        (
            "-",
            "20 (bench-001, bench-002, bench-003, bench-004, ...)",
            "found changes by User bench-search, expected none",
        ),
    ],
)
def test_a_plan_of_pyinfra_is_read_by_its_table(change: str, conditional: str, told: str) -> None:
    table = PYINFRA.format(change=change, conditional=conditional)
    assert contender("plan", "pyinfra").wrong(0, "", table) == told


def test_no_table_of_pyinfra_is_no_plan_without_changes() -> None:
    assert "expected pyinfra's own" in contender("plan", "pyinfra").wrong(0, "", "--> Connecting to hosts...")


RECAP = """
PLAY RECAP *********************************************************************
bench-001                  : ok=70   changed={one}    unreachable=0    failed=0    skipped=0    rescued=0    ignored=0
bench-002                  : ok=70   changed=2    unreachable={gone}    failed={failed}    skipped=0    rescued=0
"""


def test_ansible_s_recap_is_summed_over_hosts() -> None:
    assert rivals.changed(RECAP.format(one=3, gone=0, failed=0)) == 5
    assert rivals.changed(RECAP.format(one=3, gone=1, failed=0)) is None
    assert rivals.changed(RECAP.format(one=3, gone=0, failed=1)) is None
    assert rivals.changed("") is None
    assert "found 5 changes" in rivals.unchanged(0, RECAP.format(one=3, gone=0, failed=0), "")
    assert rivals.converged(0, RECAP.format(one=3, gone=0, failed=0), "") == ""
    assert "fatal: no" in rivals.converged(2, "fatal: no\n" + RECAP.format(one=0, gone=0, failed=1), "")


def test_a_host_is_accustomed_to_a_playbook_once_and_to_another_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lock = tmp_path / "requirements.lock"
    lock.write_text("ansible-core==1")
    monkeypatch.setattr(rivals, "LOCK", lock)
    place = ground.Ground(tmp_path, ground.LAB, ("bench-001", "bench-002"))
    folders = {name: tmp_path / name for name in place.names}
    for folder in folders.values():
        folder.mkdir()
    monkeypatch.setattr(hosts, "folders", lambda _: folders)
    rivals.note_accustomed(place, ["bench-001"])
    assert rivals.unaccustomed(place, place.names) == ["bench-002"]
    lock.write_text("ansible-core==2")
    assert rivals.unaccustomed(place, place.names) == ["bench-001", "bench-002"]


def test_time_in_apt_is_the_sum_of_its_runs() -> None:
    log = "Start-Date: 2026-11-26  10:00:00\nEnd-Date: 2026-11-26  10:00:07\nStart-Date: 2026-11-26  23:59:59\n"
    assert hosts.apt_seconds(log + "End-Date: 2026-11-27  00:00:02\n") == 10
    assert hosts.apt_seconds(log) == 7, "a run that goes on counts once it has ended"
    assert hosts.apt_seconds("") == 0


def test_every_target_has_a_place_of_its_own() -> None:
    places = [targets.place(number) for number in range(targets.MOST)]
    assert len(set(places)) == targets.MOST
    assert places[: ground.HOSTS] == [(number, 22) for number in range(ground.HOSTS)]
    assert {which for which, _ in places} == set(range(ground.HOSTS))
