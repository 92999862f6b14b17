"""Staging of all shipped systems side by side in one lab: booted by one command, rolled out one after the other, each
verified with the others up; what that costs in memory; names that do not clash, all gone at once."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
import yaml

from bench import meter
from mainstay.lab import memory
from tests.lab import laptop as laptops
from tests.lab import standing as stands
from tests.lab.laptop import Laptop
from tests.lab.memory_group import MemoryGroup
from tests.lab.standing import Standing
from tests.unit.inventories import SHIPPED, SYSTEMS

MOST = 16 << 30
GIB = 1 << 30
pytestmark = pytest.mark.timeout(stands.WHOLE_S)  # the first test waits for the rollouts
HOSTS = {
    (system, name): spec
    for system in SYSTEMS
    for name, spec in yaml.safe_load((SHIPPED / system / "staging.yaml").read_text())["hosts"].items()
}


@dataclass
class Everything:
    """The lab with all of them, and what it took.

    Attributes:
        booted: bytes more in use on the machine when all hosts are up, and nothing is rolled out yet.
        peak: the most that were in use at any time until all were rolled out.
        running: those in use when all are rolled out.
        group: the hosts' memory alone; None where the machine cannot tell it.
    """

    laptop: Laptop
    group: MemoryGroup | None
    booted: int = 0
    peak: int = 0
    running: int = 0
    systems: dict[str, Standing] = field(default_factory=dict)

    def lab(self, *words: str, counted: bool = False) -> Any:
        """A command for the lab; what it starts is counted, where that is asked for and can be."""
        argv = [sys.executable, "-m", "mainstay", "lab", *words]
        return self.laptop.run(*(self.group.starting(*argv) if self.group and counted else argv))


@pytest.fixture(scope="module")
def everything(lab: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Everything]:
    """All of them up by one command, then rolled out, one after the other."""
    for system in SYSTEMS:
        laptops.build(system)
    laptop = laptops.new(tmp_path_factory.mktemp("all"), f"{lab}-all", *SYSTEMS)
    group = MemoryGroup(f"{lab}-all") if MemoryGroup.possible() else None
    found = Everything(laptop, group)
    assert found.lab("down").code == 0
    if group:
        group.make(MOST)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MAINSTAY_AGE_IDENTITY", str(laptop.identity))
        try:
            before = memory.in_use()
            with meter.peak(lambda: memory.in_use() - before, 0.5) as most:
                up = found.lab("up", "--all", counted=True)
                assert up.code == 0, up.text
                found.booted = memory.in_use() - before
                for system in SYSTEMS:
                    found.systems[system] = stands.roll_out(laptop, system, "--env", "staging")["staging"]
            found.peak, found.running = most[0], memory.in_use() - before
            yield found
        finally:  # a rollout that fails leaves no hosts that others' tests would have to bear
            assert found.lab("down").code == 0
    if group:
        group.remove()


def test_every_host_of_every_staging_is_up_and_no_other(everything: Everything) -> None:
    shown = everything.lab("status", "--json").json["hosts"]
    assert {(host["system"], host["name"]) for host in shown} == set(HOSTS)
    assert all(host["env"] == "staging" and host["power"] and host["plugged"] for host in shown), shown
    assert len({host["address"] for host in shown}) == len(HOSTS), "an address of its own for each"


def test_each_is_found_by_its_name_and_is_who_it_says(everything: Everything) -> None:
    for system, name in HOSTS:
        done = everything.lab("ssh", f"{system}/staging/{name}", "hostname")
        assert done.out.strip() == name, done.err


@pytest.mark.parametrize("system", SYSTEMS)
def test_each_passes_every_check_with_the_others_up_and_needs_nothing_more(everything: Everything, system: str) -> None:
    standing = everything.systems[system]
    assert sorted(standing.plan()["hosts"]) == sorted(name for of, name in HOSTS if of == system)
    standing.verify()
    assert standing.failed_units() == {}


def test_all_of_them_run_in_16_gib(everything: Everything, record_property: Any) -> None:
    group = everything.group
    sizes = {"booted": everything.booted, "peak": everything.peak, "running": everything.running}
    if group:
        sizes |= {"hosts": group.held(), "hosts, files included, at most": group.most()}
        assert group.killed() == 0
        assert group.held() > len(HOSTS) << 23, "hosts are counted: each has 8 MiB and more"
    record_property("memory", {what: f"{size / GIB:.2f} GiB" for what, size in sizes.items()})
    record_property("seconds", {name: round(one.outcome["seconds"]) for name, one in everything.systems.items()})
    assert everything.booted < everything.running <= MOST
    assert everything.peak < MOST


def test_one_system_goes_and_the_others_stay(everything: Everything) -> None:
    assert everything.lab("down", SYSTEMS[0]).code == 0
    left = {host["system"] for host in everything.lab("status", "--json").json["hosts"]}
    assert left == set(SYSTEMS[1:])
    done = everything.lab("up", "--all", counted=True)
    assert done.code == 0, done.err
    assert f"{len(HOSTS)} hosts of {', '.join(SYSTEMS)} are up" in done.text
