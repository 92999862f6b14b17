"""Real faults on real hosts, one for each severity: told to the right receiver with the right labels, and their end."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable
from typing import Any

import pytest

from mainstay.lab.lab import Lab
from tests.lab.watched import ALL, OFFICE, PAGER, REPLICA, Watched

Posts = list[tuple[str, dict[str, Any]]]
API = "watched-api@18000.service"


def in_slack(status: str, severity: str, alert: str) -> Callable[[Posts], Any]:
    """A post in Slack's shape, to the pager."""
    title = f"[{status}] watched/staging {severity} {alert}"
    return lambda posts: [
        body for path, body in posts if path in PAGER and body["attachments"][0].get("title") == title
    ]


def in_json(status: str, severity: str, alert: str) -> Callable[[Posts], Any]:
    """An alert in Alertmanager's own JSON, to the office."""
    return lambda posts: [
        one
        for path, body in posts
        if path in OFFICE
        for one in body["alerts"]
        if (one["status"], one["labels"]["severity"], one["labels"]["alertname"]) == (status, severity, alert)
    ]


LOST = {"redis-server": ("RedisDown", "Redis"), "postgresql@15-main": ("PostgresDown", "PostgreSQL")}


@pytest.mark.covers("MT-44", "MT-45")
@pytest.mark.parametrize("unit", LOST)
def test_what_is_lost_is_told_with_the_worst_severity_and_its_return(watch: Watched, unit: str) -> None:
    alert, name = LOST[unit]
    watch.forget()
    watch.sh(ALL, f"systemctl stop {unit}")
    try:
        (post, *_) = watch.wait_for(in_slack("FIRING", "P0", alert), 120)
    finally:
        watch.sh(ALL, f"systemctl start {unit}")
    assert f"{ALL}: {name} does not answer" in post["attachments"][0]["text"]
    assert f"https://runbooks.watched.test/{alert}" in post["attachments"][0]["text"]
    watch.wait_for(in_slack("RESOLVED", "P0", alert), 90)


@pytest.mark.covers("MT-08")
def test_a_disk_that_fills_is_told_twice_and_its_end(watch: Watched) -> None:
    """A warning while there is room left, the pager when there is none; each is over when the disk is gone."""
    watch.forget()
    lab = Lab(watch.lab)
    watch.sh(ALL, "mkdir -p /srv/data")
    lab.attach_full_disk(ALL, "/srv/data", 16 << 20)
    try:
        room = watch.sh(ALL, "df --output=avail -k /srv/data | tail -n 1").strip()
        watch.sh(ALL, f"dd if=/dev/zero of=/srv/data/most bs=1k count={int(int(room) * 0.88)} 2>/dev/null")
        (told, *_) = watch.wait_for(in_json("firing", "warning", "Disk"), 150)
        assert (told["labels"]["host"], told["labels"]["mountpoint"]) == (ALL, "/srv/data")
        assert not in_slack("FIRING", "P1", "Disk")(watch.told()), "nobody is woken while there is room"
        watch.sh(ALL, "dd if=/dev/zero of=/srv/data/full bs=64k 2>/dev/null; true")
        watch.wait_for(in_slack("FIRING", "P1", "Disk"), 90)
    finally:
        lab.detach_full_disk(ALL, "/srv/data")
    watch.wait_for(in_json("resolved", "warning", "Disk"), 90)
    (post, *_) = watch.wait_for(in_slack("RESOLVED", "P1", "Disk"), 60)
    text = post["attachments"][0]["text"]
    assert re.match(rf"{ALL}, /srv/data: (9[5-9]|100)\.\d % disk in use, above 95\n", text), text


def test_failed_requests_are_told_to_the_office_and_their_end(watch: Watched) -> None:
    watch.forget()
    fail = "for i in $(seq 20); do curl -s -o /dev/null http://127.0.0.1:8000/fail; sleep 1; done"
    watch.sh(ALL, f"systemd-run -q --unit=fails bash -c '{fail}'")
    (told, *_) = watch.wait_for(in_json("firing", "P2", "ErrorRate"), 90)
    assert told["labels"]["service"] == "api"
    assert (told["labels"]["system"], told["labels"]["environment"]) == ("watched", "staging")
    assert told["annotations"]["runbook_url"] == "https://runbooks.watched.test/ErrorRate"
    assert told["annotations"]["summary"].startswith("api: ")
    # The rate looks five minutes back: so many others that what failed is less than a hundredth.
    watch.sh(ALL, "systemctl stop fails 2>/dev/null; curl -s -o /dev/null 'http://127.0.0.1:8000/?[1-3000]'")
    watch.wait_for(in_json("resolved", "P2", "ErrorRate"), 120)


@pytest.mark.covers("MT-35")
def test_connections_that_run_out_are_told_to_the_office_and_their_end(watch: Watched) -> None:
    """More than seven in ten of those that the server takes, fewer than nine."""
    watch.forget()
    psql = "runuser -u postgres -- psql -XAtq"
    most = int(watch.sh(ALL, f"cd /; {psql} -c 'SHOW max_connections'"))
    sleeps = f"for i in $(seq {most * 3 // 4}); do sleep 300 | {psql} & done; wait"
    watch.sh(ALL, f"systemd-run -q --unit=sessions --working-directory=/ bash -c {shlex.quote(sleeps)}")
    try:
        (told, *_) = watch.wait_for(in_json("firing", "warning", "DatabaseConnections"), 120)
    finally:
        watch.sh(ALL, "systemctl stop sessions")
    assert told["labels"]["host"] == ALL
    assert re.match(rf"{ALL}: (7\d|8\d)(\.\d)? % of max_connections in use", told["annotations"]["summary"]), told
    assert not in_json("firing", "critical", "DatabaseConnections")(watch.told())
    watch.wait_for(in_json("resolved", "warning", "DatabaseConnections"), 90)


@pytest.mark.covers("MT-03", "MT-42")
def test_a_killed_service_that_cannot_start_is_told_to_both_and_its_return(watch: Watched) -> None:
    """systemd starts a killed process again: one whose program is gone it cannot."""
    watch.forget()
    program = f"$(systemctl show -p WorkingDirectory --value {API})/main.py"
    watch.sh(ALL, f"mv {program} /root/kept.py; systemctl kill -s KILL {API}")
    try:
        (told, *_) = watch.wait_for(in_json("firing", "critical", "ServiceDown"), 120)
        watch.wait_for(in_slack("FIRING", "P0", "ServiceDown"), 120)
    finally:
        watch.sh(ALL, f"mv /root/kept.py {program}; systemctl reset-failed {API}; systemctl start {API}")
    assert (told["labels"]["service"], told["labels"]["host"], told["labels"]["check"]) == ("api", ALL, "/health")
    watch.wait_for(in_json("resolved", "critical", "ServiceDown"), 60)
    watch.wait_for(in_slack("RESOLVED", "P0", "ServiceDown"), 180)


def test_a_replica_that_is_cut_off_is_told_and_its_return(watch: Watched) -> None:
    """By the primary, which counts who follows it, and by the host that is away; never as a lost database."""
    watch.forget()
    lab = Lab(watch.lab)
    lab.cut(REPLICA)
    try:
        (down, *_) = watch.wait_for(in_json("firing", "critical", "HostDown"), 240)
        (missing, *_) = watch.wait_for(in_json("firing", "critical", "ReplicasMissing"), 300)
        told = watch.told()
    finally:
        lab.heal(REPLICA)
    assert not in_slack("FIRING", "P0", "PostgresDown")(told)
    assert down["labels"]["host"] == REPLICA
    assert missing["annotations"]["summary"] == "0 of 1 replicas follow the primary"
    assert missing["labels"]["environment"] == "staging"
    watch.wait_for(in_json("resolved", "critical", "HostDown"), 120)
    watch.wait_for(in_json("resolved", "critical", "ReplicasMissing"), 120)


def test_a_site_whose_way_to_its_service_is_cut_is_told_and_its_return(watch: Watched) -> None:
    """The service is well, and its own probes say so; clients get an error page."""
    watch.forget()
    site = "/etc/nginx/conf.d/50-watched-site.conf"
    cut = "s#proxy_pass http://watched-api#proxy_pass http://127.0.0.1:9#"
    watch.sh(ALL, f"cp {site} /root/site.conf; sed -i '{cut}' {site}; systemctl reload nginx")
    try:
        (told, *_) = watch.wait_for(in_json("firing", "critical", "SiteFails"), 240)
        everything = watch.told()
    finally:
        watch.sh(ALL, f"cat /root/site.conf > {site}; systemctl reload nginx")
    assert (told["labels"]["host"], told["labels"]["check"]) == (ALL, "/health")
    assert not in_json("firing", "critical", "ServiceDown")(everything)
    watch.wait_for(in_json("resolved", "critical", "SiteFails"), 120)


def test_nothing_is_left_of_all_this(watch: Watched) -> None:
    done = watch.mainstay("plan", watch.target, "--exit-code")
    assert done.returncode == 0, done.stdout + done.stderr
