"""Log files on a real host: from bare, what is logged while nothing copies, rotation, and each check seen to fail."""

from __future__ import annotations

import pytest

from tests.lab.bench import ROOT
from tests.lab.releases import APP, Stage

FOLDER, FILE = "/var/log/everydayai", "/var/log/everydayai/backend.log"
RULE, NAME = "/etc/logrotate.d/everydayai", "everydayai-backend"
RIGHTS, FILLED = "files are there for those who may read logs", "the newest line of the journal is in the file"
ROTATED, BOUNDED = "logrotate accepts its files and knows the limit", "no more is kept than the inventory says"
RUNS, CLEAN = "they are copied and rotated from boot on", "releases hold no logs"


@pytest.fixture(scope="module")
def stage(behind: Stage) -> Stage:
    return behind


def ask(stage: Stage, path: str) -> None:
    """One request that the service logs, and the time that a copy may take."""
    stage.sh(APP, f"curl -sS -o /dev/null http://127.0.0.1:8000/api/{path}; sleep 1")


def process(stage: Stage) -> str:
    """The service's unit: its process, how often it was restarted, and what it ignores or handles by now."""
    unit = f"$(systemctl list-units --plain --no-legend '{NAME}@*' | cut -d' ' -f1)"
    return stage.sh(APP, f"systemctl show -p MainPID,NRestarts,ActiveEnterTimestamp {unit}")


@pytest.mark.covers("LG-10")
def test_the_file_is_there_after_the_start_and_passes_every_check(stage: Stage) -> None:
    assert stage.sh(APP, f"stat -c '%U:%G %a' {FOLDER} {FILE}").splitlines() == ["root:adm 750", "root:adm 640"]
    # The first line that the service said: nothing was lost between its start and the copy's.
    first = stage.sh(APP, f"journalctl -q -t {NAME} -o cat | grep -E '^[ -~]+$' | head -n 1").strip()
    assert first and first in stage.sh(APP, f"cat {FILE}").splitlines()[0]
    assert stage.failing("logs", APP) == set()


@pytest.mark.covers("LG-08", "LG-10")
def test_a_rotation_makes_the_next_file_and_the_service_hears_nothing_of_it(stage: Stage) -> None:
    before = process(stage)
    ask(stage, "before-the-rotation")
    stage.sh(APP, f"logrotate -f {RULE}")
    ask(stage, "after-the-rotation")
    assert "/before-the-rotation" in stage.sh(APP, f"cat {FILE}.1")
    now = stage.sh(APP, f"cat {FILE}")
    assert "/after-the-rotation" in now and "/before-the-rotation" not in now
    # The journal has both: it stays the first place to look.
    said = stage.sh(APP, f"journalctl -q -t {NAME} -o cat --grep=the-rotation")
    assert "/before-the-rotation" in said and "/after-the-rotation" in said
    assert process(stage) == before
    assert stage.failing("logs", APP) == set()


@pytest.mark.covers("LG-08")
def test_a_file_above_its_limit_is_rotated_by_the_hour_and_the_oldest_goes(stage: Stage) -> None:
    stage.edit("system.yaml", "max_size: 100M", "max_size: 64K")
    stage.edit("system.yaml", "keep: 7 ", "keep: 2 ")
    try:
        stage.converge(APP)
        for _ in range(4):
            stage.sh(APP, f"head -c 60000 /dev/zero | tr '\\0' x | fold -w 500 | logger -t {NAME}; sleep 2")
            stage.sh(APP, f"ls -l {FILE}; systemctl start logrotate.service")
        sizes = stage.sh(APP, f"ls -1 {FOLDER}; du -b --max-depth=0 {FILE}").splitlines()
        assert sizes[:-1] == ["backend.log", "backend.log.1", "backend.log.2.gz"]
        assert int(sizes[-1].split()[0]) < 2 * 64 * 1024
        assert stage.failing("logs", APP) == set()
    finally:
        stage.edit("system.yaml", "max_size: 64K", "max_size: 100M")
        stage.edit("system.yaml", "keep: 2 ", "keep: 7 ")
        stage.converge(APP)


def test_what_is_logged_while_nothing_copies_is_copied_later(stage: Stage) -> None:
    stage.sh(APP, "systemctl stop syslog.socket rsyslog.service")
    ask(stage, "while-it-was-stopped")
    assert "while-it-was-stopped" not in stage.sh(APP, f"cat {FILE}")
    stage.converge(APP)
    found = stage.sh(APP, f"sleep 1; grep -c while-it-was-stopped {FILE}")
    assert int(found) == 1


@pytest.mark.parametrize("wrong", ["rotate many", "rotate_often"])
def test_rules_that_logrotate_does_not_understand_never_count(stage: Stage, wrong: str) -> None:
    """By a template of the operator's own: one value that is none, and one word that logrotate only grumbles about."""
    own = stage.project / "templates" / "logs" / "logrotate.j2"
    text = (ROOT / "templates" / "logs" / "logrotate.j2").read_text()
    own.parent.mkdir(parents=True, exist_ok=True)
    own.write_text(text.replace("rotate {{ keep }}", wrong))
    before = stage.sh(APP, f"cat {RULE}; stat -c %Y {RULE} /etc/rsyslog.conf")
    try:
        outcome = stage.apply(APP)
        assert not outcome["ok"] and "everything is as it was" in outcome["reason"], outcome
        assert stage.sh(APP, f"cat {RULE}; stat -c %Y {RULE} /etc/rsyslog.conf") == before
    finally:
        own.unlink()
    assert not stage.plan(APP)["changes"]


def test_a_file_that_was_deleted_is_written_to_again(stage: Stage) -> None:
    """rsyslog would go on with the one that nobody can read any more."""
    stage.sh(APP, f"rm {FILE}")
    stage.converge(APP)
    ask(stage, "after-it-was-deleted")
    assert "/after-it-was-deleted" in stage.sh(APP, f"cat {FILE}")


BREAKS = {
    f"chmod 644 {FILE}": ({RIGHTS}, "true"),
    f"logger -t {NAME} heard; sleep 7; mv {FILE} /root/": ({RIGHTS, FILLED}, f"mv /root/backend.log {FILE}"),
    f"sed -i 's/{NAME}/other/' /etc/rsyslog.conf; systemctl restart rsyslog; sleep 1; "
    f"logger -t {NAME} unheard; sleep 7": (
        {FILLED},
        "true",
    ),
    f"sed -i 's/maxsize .*/maxsize 1G/' {RULE}": ({ROTATED}, "true"),
    f"touch {FILE}.8.gz": ({BOUNDED}, f"rm {FILE}.8.gz"),
    "systemctl disable --quiet rsyslog; systemctl stop logrotate.timer": ({RUNS}, "true"),
    "touch /opt/everydayai/backend/current/app/backend.log": ({CLEAN}, "rm /opt/everydayai/backend/current/app/*.log"),
}


@pytest.mark.parametrize("command", BREAKS)
def test_every_break_is_seen_by_its_check_and_brought_back_by_one_apply(stage: Stage, command: str) -> None:
    checks, repair = BREAKS[command]
    with stage.broken(APP, command, repair):
        assert stage.failing("logs", APP) == checks
    assert stage.failing("logs", APP) == set()
