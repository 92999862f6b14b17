"""The one process that runs what is asked of a real host: how often it is started, and what odd hosts do to it."""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.lab.bench import ROOT
from tests.lab.ground import APP, CACHE, HOSTS, WEB, Ground

Ask = Callable[..., dict[str, Any]]


@pytest.fixture(scope="module")
def hosts(ground: Ground) -> Ground:
    for name in HOSTS:
        ground.converged(name)
    return ground


@pytest.fixture
def start(hosts: Ground, tmp_path: Path) -> Callable[..., subprocess.Popen[str]]:
    """Starts a plan of a deploy that asks what `body` says, on some hosts."""

    def started(body: str, *names: str) -> subprocess.Popen[str]:
        deploy = tmp_path / "ask.py"
        head = "from pyinfra import host\nfrom pyinfra.facts.server import Command\n"
        head += "say = lambda command: host.get_fact(Command, command)\n"
        deploy.write_text(head + textwrap.dedent(body))
        command = [sys.executable, "-m", "tests.lab.asked", hosts.target, str(deploy), *(names or (WEB,))]
        pipe = subprocess.PIPE
        return subprocess.Popen(command, cwd=ROOT, env=hosts._variables, stdout=pipe, stderr=pipe, text=True)

    return started


@pytest.fixture
def ask(start: Callable[..., subprocess.Popen[str]]) -> Ask:
    """What came of such a plan, by host."""

    def asked(body: str, *names: str) -> dict[str, Any]:
        out, errors = start(body, *names).communicate(timeout=180)
        assert "Traceback" not in errors, errors
        answer: dict[str, Any] = json.loads(out)
        return answer

    return asked


def plan(hosts: Ground) -> dict[str, Any]:
    done = hosts.mainstay("plan", hosts.target, "--json")
    assert done.returncode == 0, done.stderr
    answer: dict[str, Any] = json.loads(done.stdout)["hosts"]
    return answer


def sessions(hosts: Ground, host: str, since: float) -> list[str]:
    """What sudo was asked to run on the host since a moment: one line a session."""
    text = hosts.inside(host, f"journalctl --since @{int(since)} -t sudo -o cat | grep COMMAND= || true")
    return [line for line in text.splitlines() if "COMMAND=" in line]


def test_an_unchanged_host_costs_one_session_and_one_round_of_questions(hosts: Ground) -> None:
    first = plan(hosts)
    time.sleep(1.1)  # the journal's --since counts in seconds
    since = time.time()
    second = plan(hosts)
    assert {name: row["changes"] for name, row in second.items()} == {
        name: row["changes"] for name, row in first.items()
    }
    for name, row in second.items():
        assert row["questions"] - row["known"] == 1, f"{name}: all but the first question were asked ahead"
        assert row["questions"] > 8
        found = sessions(hosts, name, since)
        assert len(found) == 1 and "perl" in found[0], found


def test_a_verification_that_ran_before_costs_one_session_for_what_it_asks(hosts: Ground) -> None:
    assert hosts.failing("base", WEB) == set()
    time.sleep(1.1)
    since = time.time()
    assert hosts.failing("base", WEB) == set()
    # Two of the checks are about logins, and make their own.
    others = [line for line in sessions(hosts, WEB, since) if "perl" not in line]
    assert len(sessions(hosts, WEB, since)) - len(others) == 1
    assert len(others) <= 2, others


def test_a_change_outside_is_seen_by_the_next_plan(hosts: Ground) -> None:
    """What is remembered is questions, never answers."""
    plan(hosts)
    hosts.sh(WEB, "rm /etc/apt/apt.conf.d/52mainstay-upgrades")
    assert [change["operation"] for change in plan(hosts)[WEB]["changes"]] == ["Security upgrades"]
    hosts.converged(WEB)


def test_odd_answers_are_told_apart_and_whole(ask: Ask) -> None:
    found = ask(
        r"""
        assert say(r"printf 'a\0b\nno newline'") == "a\0b\nno newline"
        assert say(r"printf '\303(\n'").encode("utf-8", "surrogateescape") == b"\xc3("
        assert len(say("head -c 52428800 /dev/zero | tr '\\0' x")) == 52428800
        assert say("echo to stderr >&2; echo to stdout") == "to stdout"
        assert say("cat; echo end of no input") == "end of no input"
        """
    )
    assert found[WEB]["ok"], found[WEB]["reason"]


def test_a_question_that_fails_fails_its_host_alone(ask: Ask) -> None:
    found = ask("say('exit 3' if host.name == 'ground-web' else 'true')", *HOSTS)
    assert not found[WEB]["ok"] and "a question about the host failed" in found[WEB]["reason"]
    assert found[CACHE]["ok"] and found[APP]["ok"]


def test_a_hanging_question_ends_at_its_own_limit(ask: Ask) -> None:
    started = time.monotonic()
    found = ask("host.get_fact(Command, 'sleep 300' if host.name == 'ground-web' else 'true', _timeout=3)", *HOSTS)
    assert time.monotonic() - started < 30
    assert not found[WEB]["ok"]
    assert found[CACHE]["ok"] and found[APP]["ok"]


def test_a_file_that_is_no_text_is_shown_and_mended(hosts: Ground) -> None:
    hosts.sh(WEB, "printf 'caf\\351 \\000' >> /etc/chrony/chrony.conf")
    done = hosts.mainstay("plan", hosts.target, "--limit", WEB)
    assert done.returncode == 0, done.stderr
    assert "~ Sources of time" in done.stdout and "\\udce9" in done.stdout
    hosts.converged(WEB)


@contextmanager
def changed(hosts: Ground, host: str, do: str, undo: str) -> Iterator[None]:
    hosts.inside(host, do)
    try:
        yield
    finally:
        hosts.inside(host, undo)


def test_a_profile_that_prints_banners_is_not_taken_for_an_answer(hosts: Ground, ask: Ask) -> None:
    banner = (
        "printf 'Welcome!\\no 1 3\\nx 1 0\\n' | tee /etc/profile.d/banner.sh >/dev/null; for f in /home/alex/.bashrc"
    )
    banner += " /home/alex/.profile; do echo 'echo Welcome; echo o 1 3; echo x 1 0; echo warning >&2' >> $f; done"
    undo = "rm -f /etc/profile.d/banner.sh; sed -i '/Welcome/d' /home/alex/.bashrc /home/alex/.profile"
    with changed(hosts, WEB, banner, undo):
        found = ask("assert say('echo hello') == 'hello'")
    assert found[WEB]["ok"], found[WEB]["reason"]


@pytest.mark.parametrize(
    ("rule", "told"),
    [
        ("Defaults requiretty", "you must have a tty"),
        ("alex ALL=(ALL:ALL) PASSWD: ALL", "a password is required"),
    ],
)
def test_sudo_that_wants_more_than_it_gets_is_one_sentence(hosts: Ground, ask: Ask, rule: str, told: str) -> None:
    path = "/etc/sudoers.d/zz-test"
    with changed(hosts, WEB, f"echo '{rule}' > {path}; chmod 440 {path}", f"rm {path}"):
        found = ask("assert say('echo hello') == 'hello'", WEB, CACHE)
    assert not found[WEB]["ok"] and told in found[WEB]["reason"], found
    assert found[CACHE]["ok"], found


def test_a_host_that_reboots_in_mid_question_fails_alone(
    hosts: Ground, start: Callable[..., subprocess.Popen[str]]
) -> None:
    running = start("say('touch /run/asked; sleep 60' if host.name == 'ground-app' else 'true')", APP, WEB)
    for _ in range(100):
        if hosts.inside(APP, "ls /run/asked 2>/dev/null || true"):
            break
        time.sleep(0.1)
    hosts.outside("kill", APP)
    out, errors = running.communicate(timeout=60)
    hosts.outside("up", "ground")
    assert "Traceback" not in errors
    found = json.loads(out)
    assert not found[APP]["ok"] and found[WEB]["ok"], found
    assert plan(hosts)[APP]["ok"]


PASSWORD = "correct horse battery"


def test_plain_pyinfra_goes_the_same_way_with_a_sudo_password_by_stdin(hosts: Ground, tmp_path: Path) -> None:
    """`@mainstay/HOST` in an operator's own inventory; the password is in no process list, uploads are root's alone."""
    keys = "/etc/ssh/authorized_keys.d"
    user = f"useradd -m -s /bin/bash -G operators bob && echo 'bob:{PASSWORD}' | chpasswd && cp {keys}/alex {keys}/bob"
    user += " && echo 'bob ALL=(ALL:ALL) PASSWD: ALL' > /etc/sudoers.d/zz-bob"
    undo = f"userdel -r bob 2>/dev/null; rm -f {keys}/bob /etc/sudoers.d/zz-bob /root/uploaded"
    environment = hosts.environment
    lab = environment.lab
    assert lab is not None
    inventory = tmp_path / "hosts.py"
    data = {"ssh_user": "bob", "ssh_key": str(lab.key_path), "ssh_known_hosts_file": str(lab.known_hosts)}
    data |= {"ssh_strict_host_key_checking": "yes", "_sudo": True, "_sudo_password": PASSWORD}
    inventory.write_text(f"hosts = [('@mainstay/{environment.hosts[WEB].address}', {data!r})]\n")
    deploy = tmp_path / "deploy.py"
    deploy.write_text(
        "from io import StringIO\nfrom pyinfra.operations import files, server\n"
        "files.put(name='Upload', src=StringIO('secret text\\n'), dest='/root/uploaded')\n"
        "server.shell(name='Look', commands=['id -un > /root/uploaded.who; ps -eww -o args > /root/uploaded.ps'])\n"
    )
    with changed(hosts, WEB, user, undo):
        done = subprocess.run(
            [sys.executable, "-m", "pyinfra", "-y", str(inventory), str(deploy)],
            cwd=tmp_path, capture_output=True, text=True, check=False, timeout=120,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        assert hosts.inside(WEB, "cat /root/uploaded; stat -c '%U %a' /root/uploaded").split("\n")[:2] == [
            "secret text",
            "root 600",
        ]
        assert hosts.inside(WEB, "cat /root/uploaded.who").strip() == "root"
        assert PASSWORD not in hosts.inside(WEB, "cat /root/uploaded.ps; rm /root/uploaded.*")
        assert hosts.inside(WEB, "ls /tmp /home/bob") == hosts.inside(WEB, "ls /tmp /home/bob | grep -v pyinfra")
