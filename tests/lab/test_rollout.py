"""Rollouts on real hosts: the way through, the gate, put-back, and who may write."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.json_schema import faults
from tests.lab import tiny
from tests.lab.tiny import Tiny

pytestmark = pytest.mark.lab


@pytest.fixture(scope="module")
def rolled_out(tiny_system: Tiny) -> Tiny:
    """The system after its first rollout, so that no test depends on the one before it."""
    tiny_system.faults()
    tiny_system.well("rollout", "tiny")
    return tiny_system


@pytest.fixture
def system(rolled_out: Tiny) -> Iterator[Tiny]:
    """The system as the test before left it: rolled out whole, nothing open; no fault is asked for."""
    rolled_out.faults()
    yield rolled_out
    rolled_out.faults()
    done = rolled_out.run("rollout", "tiny", "--abort")
    assert done.code == 0, done.text


@pytest.mark.covers("GP-15")
def test_staging_first_then_production_role_by_role_and_all_of_it_recorded(system: Tiny) -> None:
    system.next_version()
    done = system.run("rollout", "tiny", "--json")
    assert done.code == 0, done.text
    result = json.loads(done.out)
    assert faults("rollout", result) == []
    staging, production = result["environments"]
    assert [batch["hosts"] for batch in staging["batches"]] == [["tiny-stg"]]
    assert [batch["hosts"] for batch in production["batches"]] == [["tiny-app-1"], ["tiny-app-2"], ["tiny-web-1"]]
    assert all(batch["passed"] >= 3 and not batch["failures"] for e in result["environments"] for batch in e["batches"])
    assert f"step 1 of version {system.number}" in system.ask("tiny-web-1", "cat /etc/tiny/step-1.conf")
    assert all("open" not in system.journals(host).values() for host in tiny.HOSTS)

    again = json.loads(system.run("rollout", "tiny", "--json").out)
    assert sum(batch["changes"] for e in again["environments"] for batch in e["batches"]) == 0
    system.well("status", "tiny")
    runs = json.loads(system.run("history", "tiny", "--json").out)["runs"]
    newest = next(run for run in runs if run["run"] == production["run"])
    assert (newest["who"], newest["verb"], newest["result"]) == ("debian", "rollout", "verified")
    assert newest["hosts"] == sorted(tiny.PRODUCTION)
    offline = json.loads(system.run("history", "tiny", "--json", "--offline").out)["runs"]
    assert [run["run"] for run in offline] == [run["run"] for run in runs]


@pytest.mark.covers("DP-07", "GP-04")
def test_production_refuses_what_staging_has_not_verified_from_any_laptop(system: Tiny, tmp_path: Path) -> None:
    system.next_version()
    before = system.state()
    refused = system.run("rollout", "tiny", "--env", "production")
    assert refused.code == 3, refused.text
    assert re.search(
        r"tiny/production: staging's tiny-stg verified change \w{12} last, not \w{12}; roll out", refused.err
    )
    assert system.state() == before
    system.well("rollout", "tiny", "--env", "staging")
    # A colleague's laptop knows nothing; the hosts do.
    colleague = Tiny(system.project, tmp_path / "colleague", system.lab)
    done = colleague.run("rollout", "tiny", "--env", "production")
    assert done.code == 0, done.text


def test_the_way_round_the_gate_needs_a_reason_and_is_recorded(system: Tiny) -> None:
    system.next_version()
    assert system.run("rollout", "tiny", "--env", "production", "--emergency").code == 2
    done = system.run(*system.emergency())
    assert done.code == 0, done.text
    assert "went round the gate" in done.text
    newest = json.loads(system.run("history", "tiny/production", "-n", "1", "--json").out)["runs"][0]
    assert (newest["emergency"], newest["reason"]) == (True, "a test")


@pytest.mark.covers("DF-40")
@pytest.mark.parametrize(("host", "where"), [("tiny_app_2", "step 3"), ("tiny_web_1", "verify")])
def test_what_fails_puts_every_host_of_the_rollout_back(system: Tiny, host: str, where: str) -> None:
    before = system.state()
    system.next_version()
    system.faults(**{host: where})
    done = system.run(*system.emergency(), "--json")
    assert done.code == 1, done.text
    assert faults("rollout", json.loads(done.out)) == []
    result = json.loads(done.out)["environments"][0]
    assert result["result"] == "put back"
    name = host.replace("_", "-")
    assert list(result["batches"][-1]["failures"]) == [name]
    assert all(back["ok"] for back in result["put_back"])
    assert result["put_back"][-1]["host"] == "tiny-app-1"
    assert result["put_back"][-1]["irreversible"] == [f"data of version {system.number} written"]
    assert system.state() == before
    assert system.status()["wrong"] == []
    # The cause is gone, and the same command works.
    system.faults()
    system.well(*system.emergency())


def test_a_step_that_hangs_is_ended_at_its_deadline_and_every_host_is_put_back(system: Tiny) -> None:
    before = system.state()
    system.next_version()
    system.faults(tiny_app_2="hang 3")
    done = system.run(*system.emergency(), "--deadline", "0.2", "--json")
    assert done.code == 1, done.text
    result = json.loads(done.out)["environments"][0]
    assert result["batches"][-1]["failures"] == {
        "tiny-app-2": "Step 3: took longer than 12 s, its deadline, and was ended"
    }
    assert result["result"] == "put back" and all(back["ok"] for back in result["put_back"])
    assert system.ask("tiny-app-2", "pgrep -f 'sleep 60[0]' || true") == ""
    assert system.state() == before
    system.faults()
    system.well(*system.emergency())


def test_a_host_that_is_down_at_the_start_is_named_and_nothing_changes(system: Tiny) -> None:
    system.next_version()
    before = system.state()
    system.outside("cut", "tiny-app-2")
    try:
        done = system.run(*system.emergency())
    finally:
        system.outside("heal", "tiny-app-2")
    assert done.code == 1, done.text
    assert "tiny-app-2: does not answer" in done.err
    assert "nothing was changed" in done.err
    assert system.state() == before
    system.well(*system.emergency())


def test_a_wrong_host_key_is_a_host_that_is_not_there(system: Tiny) -> None:
    overlay = Path(f"/var/lib/mainstay-lab/{system.lab}/overlay-tiny.json")
    known = Path(json.loads(overlay.read_text())["known_hosts"])
    right = known.read_text()
    address = json.loads(overlay.read_text())["hosts"]["production/tiny-app-1"]["address"]
    other = next(line for line in right.splitlines() if line and address not in line)
    lines = [
        line if address not in line else f"{line.split()[0]} {' '.join(other.split()[1:])}"
        for line in right.splitlines()
    ]
    system.next_version()
    before = system.state()
    known.write_text("\n".join(lines) + "\n")
    try:
        done = system.run(*system.emergency())
    finally:
        known.write_text(right)
    assert done.code == 1, done.text
    assert "tiny-app-1: does not answer" in done.err
    assert "host key" in done.err.lower()
    assert system.state() == before
    system.well(*system.emergency())


@pytest.mark.covers("GP-17")
def test_a_second_operator_is_told_who_since_when_for_what(system: Tiny) -> None:
    system.next_version()
    system.faults(pause="1")
    first = system.start(*system.emergency())
    said = tiny.wait_for(first, "tiny/production app: tiny-app-1")
    second = system.run(*system.emergency())
    assert second.code == 3, second.text
    who = r"is held by debian on \S+ since 20\d\d-\S+Z for `mainstay rollout tiny --env production"
    assert re.search(who, second.err), second.err
    status = system.status()
    assert status["hosts"]["tiny-web-1"]["lease"]["operator"] == "debian"
    done = tiny.finish(first, said)
    assert done.code == 0, done.text
    assert system.status()["hosts"]["tiny-web-1"]["lease"] is None


def test_a_damaged_row_is_named_and_the_gate_refuses(system: Tiny) -> None:
    system.next_version()
    system.well("rollout", "tiny", "--env", "staging")
    path = "/var/lib/mainstay/ledger.jsonl"
    system.ask("tiny-stg", f"cp -p {path} {path}.right; sed -i '1s/debian/nobody/' {path}")
    try:
        refused = system.run("rollout", "tiny", "--env", "production")
        status = system.run("status", "tiny/staging")
        history = system.run("history", "tiny/staging")
    finally:
        system.ask("tiny-stg", f"mv {path}.right {path}")
    assert refused.code == 3, refused.text
    for told in (refused, status, history):
        assert "tiny-stg" in told.text
        assert "ledger row 1 is damaged (its content does not match its hash)" in told.text
    assert (status.code, history.code) == (1, 1)
    system.well("rollout", "tiny", "--env", "production")


def test_a_change_from_outside_shows(system: Tiny) -> None:
    system.ask("tiny-app-1", "echo more >> /etc/tiny/step-2.conf")
    status = system.run("status", "tiny/production")
    assert status.code == 1
    assert "tiny-app-1: /etc/tiny/step-2.conf was changed by hand" in status.text
    system.well(*system.emergency())
    system.well("status", "tiny/production")


@pytest.mark.parametrize(
    ("words", "code", "sentence"),
    [
        (["rollout", "tiny", "--resume", "--abort"], 2, "--resume, --abort: found both"),
        (["rollout", "tiny", "--limit", "app"], 2, "--limit: found without --env"),
        (["rollout", "tiny", "--env", "test"], 2, "--env: found 'test', expected staging or production"),
        (["rollout", "tiny", "--deadline", "0"], 2, "--deadline: found 0, expected minutes, more than 0"),
        (["rollback", "tiny/production"], 2, "--reason: found none"),
        (["rollback", "tiny/production", "--lift", "--limit", "web"], 2, "--limit: found with --lift"),
        (["rollback", "tiny/production", "--reason", "x"], 3, "no verified release to return to"),
    ],
)
def test_bad_input_is_one_sentence(tiny_system: Tiny, words: list[str], code: int, sentence: str) -> None:
    done = tiny_system.run(*words)
    assert done.code == code, done.text
    assert sentence in done.err
    assert "Traceback" not in done.text
