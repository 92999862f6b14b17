"""Changes that lock the operator out, on real hosts: each is undone by the host itself within a minute, and said so."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator

import pytest

from mainstay.errors import HostError
from tests.lab.ground import APP, Ground

MOST_S = 60
STATE = "/usr/local/lib/mainstay/deadman state"
# A mistake in the operator's own template that every validator accepts, and what the sentence must name.
MISTAKES = {
    "sshd on another port": ("base/sshd.conf.j2", "Port {{ port }}", "Port 2222", "Connection refused"),
    "a firewall without SSH": ("base/nftables.conf.j2", "{{ rule }}", "# {{ rule }}", "timed out"),
    "sudoers without the operator": ("base/sudoers.j2", "%{{ group }}", "%sudo", "a password is required"),
    "a group that nobody is in": ("base/sshd.conf.j2", "Groups {{ group }}", "Groups staff", "Permission denied"),
}


@pytest.fixture(scope="module")
def hosts(ground: Ground) -> Ground:
    ground.converged(APP)
    return ground


@pytest.fixture
def before(hosts: Ground) -> Iterator[str]:
    state = managed(hosts)
    yield state
    assert managed(hosts) == state, "the host is not as before"


def managed(hosts: Ground) -> str:
    """Hashes, modes and owners of what these changes touch, and the ruleset in the kernel."""
    folders = "/etc/ssh /etc/sudoers.d /etc/nftables.conf"
    return hosts.sh(
        APP,
        f"find {folders} -type f | sort | xargs sha256sum; find {folders} | sort | xargs stat -c '%n %a %U:%G'; "
        "nft list ruleset; sshd -T; systemctl is-active ssh nftables; systemctl is-enabled ssh nftables",
    )


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_lock_out_is_undone_within_a_minute_and_said_in_one_sentence(
    hosts: Ground, before: str, mistake: str
) -> None:
    template, right, wrong, reason = MISTAKES[mistake]
    with hosts.template(template, right, wrong):
        done = hosts.mainstay("apply", hosts.target, "--limit", APP, "--json")
    folder = hosts.disk(APP) / "var/lib/mainstay/deadman"
    # Written when the host armed itself, just before the change, and when it had undone it.
    assert (folder / "fired").stat().st_mtime - (folder / "token").stat().st_mtime < MOST_S
    assert done.returncode == 1, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    environment = json.loads(done.stdout)["environments"][0]
    sentence = environment["batches"][0]["failures"][APP]
    assert "locked the operator out" in sentence and reason in sentence, sentence
    assert "the host undid it and is as before" in sentence, sentence
    assert len(sentence.splitlines()) == 1
    assert f"failed: {APP}: {sentence}" in " ".join(done.stderr.split())
    assert environment["result"] == "put back"
    hosts.sh(APP, "true")


def test_the_same_command_works_once_the_cause_is_gone(hosts: Ground) -> None:
    done = hosts.mainstay("apply", hosts.target, "--limit", APP)
    assert done.returncode == 0, done.stdout + done.stderr
    hosts.converged(APP)


@pytest.mark.parametrize(
    ("mistake", "says"),
    [
        (("base/sshd.conf.j2", "PermitRootLogin no", "PermitRootLogin perhaps"), "sshd -t"),
        (("base/sudoers.j2", "NOPASSWD: ALL", "NOPASSWD ALL"), "visudo -cq"),
        (("base/nftables.conf.j2", "policy drop;", "policy perhaps;"), "nft -c"),
    ],
)
def test_what_a_validator_refuses_never_counts(
    hosts: Ground, before: str, mistake: tuple[str, str, str], says: str
) -> None:
    with hosts.template(*mistake):
        outcome = hosts.apply(APP)
    assert not outcome["ok"]
    assert says in outcome["reason"] and "everything is as it was" in outcome["reason"]
    assert hosts.sh(APP, STATE) == "idle\n"


def test_a_laptop_that_dies_before_it_confirms_costs_nothing(hosts: Ground, before: str) -> None:
    """kill -9 of the real process, right after the host armed itself."""
    with hosts.template("base/sshd.conf.j2", "Port {{ port }}", "Port 2222"):
        killed_while_armed(hosts, 0)
    wait_until_fired(hosts)


def test_a_host_that_reboots_while_armed_starts_as_it_was(hosts: Ground, before: str) -> None:
    with hosts.template("base/nftables.conf.j2", "{{ rule }}", "# {{ rule }}"):
        killed_while_armed(hosts, 2)
    hosts.outside("kill", APP)
    hosts.outside("up", "ground")
    assert "at boot" in hosts.sh(APP, STATE)


def test_units_and_links_are_put_back_by_the_real_systemd(hosts: Ground) -> None:
    """A unit that is new, one that stops, one that is masked: `journal back` leaves none of it."""
    kit, run = "/usr/local/lib/mainstay", "20260101T000000Z-units"
    look = (
        "systemctl is-enabled chrony fresh apt-daily.timer; systemctl is-active chrony fresh apt-daily.timer; "
        "find /etc/systemd -type l | sort | xargs ls -l --time-style=+ ; ls /etc/systemd/system; true"
    )
    was = hosts.sh(APP, look)
    hosts.sh(
        APP,
        f"""set -e
        {kit}/journal save {run} /etc/systemd/system/fresh.service
        for u in chrony.service fresh.service apt-daily.timer; do {kit}/journal unit {run} $u; done
        printf '[Service]\\nExecStart=sleep infinity\\n[Install]\\nWantedBy=multi-user.target\\n' \\
            > /etc/systemd/system/fresh.service
        systemctl daemon-reload
        systemctl enable --quiet --now fresh
        systemctl disable --quiet --now chrony
        systemctl mask --quiet --now apt-daily.timer
        {kit}/journal back {run}""",
    )
    assert hosts.sh(APP, look) == was


def test_the_confirmation_costs_one_connection_and_only_when_something_changed(hosts: Ground) -> None:
    question = "journalctl -u ssh --since=-20s -g 'Accepted publickey for alex' --no-pager -q | wc -l"
    hosts.apply(APP)
    time.sleep(21)
    hosts.apply(APP)
    assert int(hosts.sh(APP, question)) == 1, "this question's alone: the fleet's own was open from before"


def killed_while_armed(hosts: Ground, after: float) -> None:
    """kill -9 of an apply, so many seconds after the host armed itself."""
    armed = hosts.disk(APP) / "var/lib/mainstay/deadman/armed"
    process = hosts.start("apply", APP)
    deadline = time.monotonic() + 60
    while not armed.exists():
        assert process.poll() is None and time.monotonic() < deadline, "the host was never armed"
        time.sleep(0.02)
    time.sleep(after)
    process.kill()
    process.wait()


def wait_until_fired(hosts: Ground) -> None:
    deadline = time.monotonic() + MOST_S
    while True:
        try:
            if hosts.sh(APP, STATE, timeout=5).startswith("fired"):
                return
        except HostError:
            pass  # locked out
        assert time.monotonic() < deadline, f"locked out for more than {MOST_S} s"
        time.sleep(1)
