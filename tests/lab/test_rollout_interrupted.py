"""Rollouts that are cut short: by signals to the command, by the network, by a host's power."""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from mainstay.lab.lab import Lab
from tests.lab import tiny
from tests.lab.tiny import Tiny

pytestmark = pytest.mark.lab
# The moments stand in the tests' names, so a failure says what to repeat; every worker of a run must find the same.
SEED = os.environ.get("PYTEST_XDIST_TESTRUNUID") or random.SystemRandom().randrange(2**32)
MOMENTS = 2


@pytest.fixture(scope="module")
def rolled_out(tiny_system: Tiny) -> Tiny:
    """Production as a first rollout leaves it: the host scripts that it brings stay, whatever is put back later."""
    tiny_system.faults()
    tiny_system.well(*tiny_system.emergency())
    return tiny_system


@pytest.fixture
def system(rolled_out: Tiny) -> Iterator[Tiny]:
    """The system as the test before left it: rolled out whole, nothing open; no fault is asked for."""
    rolled_out.faults(pause="0.3")
    yield rolled_out
    done = rolled_out.run("rollout", "tiny", "--abort")
    assert done.code == 0, done.text


def interrupt(system: Tiny, number: signal.Signals, moment: float) -> tiny.Done:
    """A rollout that gets a signal `moment` seconds after it began to change hosts."""
    process = system.start(*system.emergency())
    said = tiny.wait_for(process, "tiny/production app: tiny-app-1")
    time.sleep(moment)
    tiny.kill(process, number)
    return tiny.finish(process, said)


def moments(name: str) -> list[float]:
    chance = random.Random(f"{SEED} {name}")
    # The first is in the first host's apply; the others anywhere up to the end.
    return [round(chance.uniform(0, most), 2) for most in (2, *[15] * (MOMENTS - 1))]


def versions(system: Tiny) -> set[str]:
    return {system.ask(host, "cat /etc/tiny/step-4.conf").split()[-1] for host in tiny.PRODUCTION}


@pytest.mark.parametrize("moment", moments("kill resume"))
def test_kill_9_then_resume_from_another_laptop(system: Tiny, moment: float) -> None:
    system.next_version()
    killed = interrupt(system, signal.SIGKILL, moment)
    if killed.code == 0:
        return  # it was done before the moment came
    colleague = Tiny(system.project, system.laptop / "colleague", system.lab)
    if system.status()["open_runs"]:
        refused = colleague.run(*system.emergency())
        assert refused.code == 3, refused.text
        assert "--resume goes on with it" in refused.err
        assert "--abort puts its hosts back" in refused.err
    done = colleague.run(*system.emergency(), "--resume")
    assert done.code == 0, done.text
    assert versions(system) == {str(system.number)}
    assert system.status()["wrong"] == []


@pytest.mark.parametrize("moment", moments("kill abort"))
def test_kill_9_then_abort_puts_every_host_back(system: Tiny, moment: float) -> None:
    before = system.state()
    system.next_version()
    killed = interrupt(system, signal.SIGKILL, moment)
    if killed.code == 0:
        return
    done = system.run("rollout", "tiny", "--abort")
    assert done.code == 0, done.text
    if versions(system) == {str(system.number)}:
        return  # all was closed already, and only the goodbye was cut off
    assert system.state() == before
    assert system.status()["wrong"] == []


@pytest.mark.parametrize("moment", moments("interrupt"))
def test_ctrl_c_stops_after_the_step_says_where_and_both_ways_lead_on(system: Tiny, moment: float) -> None:
    before = system.state()
    system.next_version()
    stopped = interrupt(system, signal.SIGINT, moment)
    if stopped.code == 0:
        return
    assert stopped.code == 130, stopped.text
    assert "--resume goes on" in stopped.err
    assert "Traceback" not in stopped.text
    system.well("rollout", "tiny", "--abort")
    assert system.state() == before
    interrupt(system, signal.SIGINT, moment)
    done = system.run(*system.emergency(), "--resume")
    assert done.code == 0, done.text
    assert versions(system) == {str(system.number)}


def test_resume_refuses_another_change(system: Tiny) -> None:
    system.next_version()
    interrupt(system, signal.SIGKILL, 0.5)
    system.next_version()
    refused = system.run(*system.emergency(), "--resume")
    assert refused.code == 3, refused.text
    assert "go back to that tree, or" in refused.err
    system.version(system.number - 1)
    system.well(*system.emergency(), "--resume")


def test_a_host_that_is_cut_off_in_mid_batch(system: Tiny) -> None:
    before = system.state()
    system.next_version()
    process = system.start(*system.emergency())
    said = tiny.wait_for(process, "tiny/production app: tiny-app-2")
    time.sleep(1)
    system.outside("cut", "tiny-app-2")
    try:
        done = tiny.finish(process, said)
    finally:
        system.outside("heal", "tiny-app-2")
    assert done.code == 1, done.text
    assert "NOT put back tiny-app-2" in done.out
    assert "put back tiny-app-1" in done.out
    assert list(system.status()["open_runs"][0]["hosts"]) == ["tiny-app-1", "tiny-app-2"]
    system.well("rollout", "tiny", "--abort")
    assert system.state() == before


def test_a_host_that_loses_power_in_mid_apply_comes_back_and_is_put_back(system: Tiny) -> None:
    before = system.state()
    system.next_version()
    process = system.start(*system.emergency())
    said = tiny.wait_for(process, "tiny/production app: tiny-app-2")
    time.sleep(1.5)
    system.outside("kill", "tiny-app-2")
    system.outside("up", "tiny")
    done = tiny.finish(process, said)
    assert done.code == 1, done.text
    system.run("rollout", "tiny", "--abort")
    assert system.state() == before
    assert system.status()["wrong"] == []


def test_a_laptop_that_sleeps_loses_the_lease_and_changes_nothing_more(system: Tiny) -> None:
    system.next_version()
    process = system.start(*system.emergency())
    said = tiny.wait_for(process, "tiny/production app: tiny-app-2")
    tiny.kill(process, signal.SIGSTOP)
    time.sleep(17)
    # The hosts have freed themselves: a colleague puts back what stands open.
    aborted = system.run("rollout", "tiny", "--abort")
    assert aborted.code == 0, aborted.text
    state = system.state()
    tiny.kill(process, signal.SIGCONT)
    woken = tiny.finish(process, said)
    assert woken.code == 3, woken.text
    assert "the lease was lost" in woken.err
    assert system.state() == state


@contextmanager
def full_disk(system: Tiny, host: str, path: str) -> Iterator[None]:
    """A disk of its own for the directory, with no room left; what happened on it stays when it goes away."""
    lab, kept = Lab(system.lab), "/var/tmp/kept"
    lab.attach_full_disk(host, path, 8 << 20)
    try:
        system.ask(host, f"dd if=/dev/zero of={path}/filler bs=1k 2>/dev/null; sync {path}; true")
        yield
    finally:
        system.ask(host, f"rm -f {path}/filler; rm -rf {kept}; cp -a {path} {kept}")
        lab.detach_full_disk(host, path)
        system.ask(host, f"find {path} -mindepth 1 -delete; cp -a {kept}/. {path}/; rm -r {kept}")


@pytest.mark.parametrize("path", ["/etc/tiny", "/var/lib/mainstay"])
def test_a_full_disk_is_named_and_changes_nothing(system: Tiny, path: str) -> None:
    with full_disk(system, "tiny-app-2", path):
        before = system.state()
        system.next_version()
        done = system.run(*system.emergency())
        assert done.code == 1, done.text
        assert "No space left on device" in done.err
        assert "tiny-app-2" in done.err
        assert "Traceback" not in done.text
        assert system.state() == before
        system.ask("tiny-app-2", f"rm {path}/filler")
        mended = system.run(*system.emergency())
        assert mended.code == 0, mended.text
    assert versions(system) == {str(system.number)}
    assert system.status()["wrong"] == []
