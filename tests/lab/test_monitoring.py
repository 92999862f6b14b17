"""Monitoring on real hosts: from bare to converged, faults that are told and their end, every check seen to fail."""

from __future__ import annotations

import json
import re
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from deploys.components.monitoring import consoles
from mainstay import ssh
from mainstay.lab.lab import Lab
from tests.lab import watched
from tests.lab.bench import ROOT
from tests.lab.watched import ALL, MON, OFFICE, PAGER, Watched

Posts = list[tuple[str, dict[str, Any]]]
API = "watched-api@18000.service"


@pytest.fixture(scope="module")
def watch(lab: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    """Both hosts, converged from bare by one apply; what the receivers are told is kept."""
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("watched")
        patch.setenv("MAINSTAY_AGE_IDENTITY", str(folder / "identity.txt"))
        made = watched.new(folder, f"{lab}-watched")
        for words in (["down"], ["up", "watched", "--env", "staging"]):
            done = made.mainstay("lab", *words)
            assert done.returncode == 0, done.stdout + done.stderr
        yield made
        assert made.mainstay("lab", "down").returncode == 0


def test_one_apply_from_bare_hosts_converges_and_is_verified(watch: Watched) -> None:
    done = watch.mainstay("apply", watch.target, "--json")
    assert done.returncode == 0, done.stdout + done.stderr
    assert watch.mainstay("plan", watch.target, "--exit-code").returncode == 0
    watch.listen()


def failing(watch: Watched, *hosts: str) -> set[str]:
    return watch.failing("monitoring", *hosts)


@pytest.mark.covers("MT-41", "MT-51", "MT-53")
def test_a_converged_system_passes_every_check(watch: Watched) -> None:
    assert failing(watch, ALL, MON) == set()


def test_judges_are_content_on_the_host_itself(watch: Watched) -> None:
    said = watch.sh(
        MON,
        "cd /etc/prometheus; promtool check config prometheus.yml 2>&1; amtool check-config alertmanager.yml",
    )
    assert "FAILED" not in said and said.count("SUCCESS") == 4, said


def started(watch: Watched, unit: str) -> str:
    return watch.sh(MON, f"systemctl show -p ExecMainStartTimestampMonotonic --value {unit}").strip()


def test_a_threshold_is_changed_by_a_reload(watch: Watched) -> None:
    before = [started(watch, unit) for unit in ("prometheus", "prometheus-alertmanager")]
    watch.edit("system.yaml", "cpu_pct: {warn: 70, crit: 90}", "cpu_pct: {warn: 60, crit: 90}")
    try:
        watch.converged(MON)
        groups = json.loads(watch.sh(MON, "curl -sS http://127.0.0.1:9090/api/v1/rules"))["data"]["groups"]
        assert "mainstay:cpu_pct > 60" in [rule["query"] for group in groups for rule in group["rules"]]
    finally:
        watch.edit("system.yaml", "cpu_pct: {warn: 60, crit: 90}", "cpu_pct: {warn: 70, crit: 90}")
    watch.converged(MON)
    assert [started(watch, unit) for unit in ("prometheus", "prometheus-alertmanager")] == before


@pytest.mark.parametrize(
    ("where", "mistake", "reason"),
    [
        ("scrape_configs:", "{{ text }}\nno_such_key: 1", "no_such_key not found"),
        ("groups:", "{{ text | replace('sum by', 'some by') }}", "parse error"),
        ("receivers:", "{{ text | replace('receiver: pager', 'receiver: paper') }}", "undefined receiver"),
    ],
)
def test_what_its_programs_refuse_never_counts(watch: Watched, where: str, mistake: str, reason: str) -> None:
    """An operator's own template, laid over the bundled one, with a mistake in one of the files."""
    own = watch.project / "templates" / "monitoring" / "yaml.j2"
    own.parent.mkdir(parents=True, exist_ok=True)
    before, since = (
        watch.sh(MON, "sha256sum /etc/prometheus/*.yml /etc/prometheus/rules/*"),
        started(watch, "prometheus"),
    )
    bundled = (ROOT / "templates" / "monitoring" / "yaml.j2").read_text()
    wrong = f'{{% if "{where}" in text %}}{mistake}{{% else %}}{{{{ text }}}}{{% endif %}}'
    own.write_text(bundled.replace("{{ text }}", wrong))
    try:
        outcome = watch.apply(MON)
    finally:
        own.unlink()
    assert not outcome["ok"] and reason in outcome["reason"], outcome["reason"]
    assert watch.sh(MON, "sha256sum /etc/prometheus/*.yml /etc/prometheus/rules/*") == before
    assert started(watch, "prometheus") == since
    watch.converged(MON)


def test_who_may_post_is_a_secret(watch: Watched) -> None:
    """Not in an argv, not in the journal, not in what plan and render print."""
    seen = watch.sh(MON, "cat /proc/[0-9]*/cmdline | tr '\\0' ' '; journalctl --no-pager -o cat | grep -v ^POST")
    seen += json.dumps(watch.plan(MON)) + watch.mainstay("render", watch.target).stdout
    for url in (PAGER, OFFICE):
        assert url.rpartition("/")[2] not in seen
    password = watch.sh(
        ALL, "sed -n \"s/REDIS_PASSWORD='\\(.*\\)'/\\1/p\" /etc/default/prometheus-redis-exporter"
    ).strip()
    assert len(password) > 20
    assert password not in watch.sh(ALL, "cat /proc/[0-9]*/cmdline | tr '\\0' ' '; journalctl --no-pager -o cat")


# Faults, told and told to be over


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


@pytest.mark.covers("MT-45")
def test_a_lost_redis_is_told_with_the_worst_severity_and_its_return(watch: Watched) -> None:
    watch.forget()
    watch.sh(ALL, "systemctl stop redis-server")
    try:
        (post,) = watch.wait_for(in_slack("FIRING", "P0", "RedisDown"), 60)
    finally:
        watch.sh(ALL, "systemctl start redis-server")
    assert f"{ALL}: Redis does not answer" in post["attachments"][0]["text"]
    assert "https://runbooks.watched.test/RedisDown" in post["attachments"][0]["text"]
    watch.wait_for(in_slack("RESOLVED", "P0", "RedisDown"), 60)


def test_a_full_disk_is_told_and_its_end(watch: Watched) -> None:
    watch.forget()
    lab = Lab(watch.lab)
    watch.sh(ALL, "mkdir -p /srv/data")
    lab.attach_full_disk(ALL, "/srv/data", 16 << 20)
    try:
        watch.sh(ALL, "dd if=/dev/zero of=/srv/data/full bs=64k 2>/dev/null; true")
        watch.wait_for(in_slack("FIRING", "P1", "Disk"), 90)
    finally:
        lab.detach_full_disk(ALL, "/srv/data")
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
    watch.wait_for(in_json("resolved", "P2", "ErrorRate"), 60)


@pytest.mark.covers("MT-03")
def test_a_stopped_service_is_told_to_both_and_its_return(watch: Watched) -> None:
    watch.forget()
    watch.sh(ALL, f"systemctl stop {API}")
    try:
        (told, *_) = watch.wait_for(in_json("firing", "critical", "ServiceDown"), 120)
        watch.wait_for(in_slack("FIRING", "P0", "ServiceDown"), 120)
    finally:
        watch.sh(ALL, f"systemctl start {API}")
    assert (told["labels"]["service"], told["labels"]["host"], told["labels"]["check"]) == ("api", ALL, "/health")
    watch.wait_for(in_json("resolved", "critical", "ServiceDown"), 60)
    watch.wait_for(in_slack("RESOLVED", "P0", "ServiceDown"), 180)


# Consoles, as an operator's browser shows them


def shown(watch: Watched, page: str) -> str:
    """What Chromium makes of a console: the document after its scripts have asked for what they draw."""
    command = ["chromium", "--headless", "--no-sandbox", "--disable-gpu", "--virtual-time-budget=8000", "--dump-dom"]
    with tunnel(watch) as url:
        done = subprocess.run(
            [*command, f"{url}/consoles/{page}"], capture_output=True, text=True, timeout=90, check=True
        )
    return done.stdout


@contextmanager
def tunnel(watch: Watched) -> Iterator[str]:
    """Prometheus on a port of the laptop, through SSH, as docs/components/monitoring.md says."""
    environment = watch.environment
    argv = ssh.command_line(environment, environment.hosts[MON])
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    options = ["-N", "-o", "ExitOnForwardFailure=yes", "-L", f"127.0.0.1:{port}:127.0.0.1:9090"]
    process = subprocess.Popen([argv[0], *options, *argv[1:]], stdin=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + 15
        while not reached(port):
            assert process.poll() is None and time.monotonic() < deadline, "no tunnel"
            time.sleep(0.1)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait()


def reached(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
    except OSError:
        return False
    return True


def test_consoles_show_what_is_measured_with_the_inventory_s_limits(watch: Watched) -> None:
    """Every panel of every page: a row for what it speaks of, a graph that was drawn, its thresholds."""
    watch.sh(ALL, "for i in $(seq 12); do curl -s -o /dev/null http://127.0.0.1:8000/; sleep 1; done")
    for console in consoles.consoles(watch.environment):
        page = shown(watch, f"{console.name}.html")
        panels = re.findall(r'<section class="panel" data-title="(.*?)">(.*?)</section>', page, re.DOTALL)
        assert [title for title, _ in panels] == [panel.title for panel in console.panels]
        for panel, (_, text) in zip(console.panels, panels, strict=True):
            empty = panel.title in NOT_HERE
            assert ("no data" in text) == empty, f"{console.name}: {panel.title}: {text[:300]}"
            assert empty or "<svg" in text, f"{console.name}: nothing drawn for {panel.title}"
            limits = [f"{panel.warn:g} warning"] if panel.warn is not None else []
            assert all(limit in text for limit in limits)
    assert "RedisDown" not in shown(watch, "index.html")


# The lab's disks are overlays, which no disk is; nobody asks the cache for keys, and there are no tables.
NOT_HERE = {
    "Disk in use",
    "Of the database's disk in use",
    "Of keys found in Redis",
    "Rows read by scans",
    "Rows inserted",
    "Rows updated",
    "Rows deleted",
    "Never measured",
}


# Every check, seen to fail

BREAKS: dict[str, tuple[str, str, str, str, set[str]]] = {
    "an exporter that is stopped": (
        ALL,
        ALL,
        "systemctl stop prometheus-node-exporter",
        "systemctl start prometheus-node-exporter",
        {
            "exporters run and start at boot",
            "exporters listen on their address only",
            "exporters measure what they are for",
        },
    ),
    "an exporter that is not asked": (
        MON,
        ALL,
        "systemctl stop prometheus-nginx-exporter; sleep 6",
        "systemctl start prometheus-nginx-exporter",
        {"every target is asked and answers"},
    ),
    "an exporter that is not let in": (
        ALL,
        ALL,
        "runuser -u postgres -- psql -qc 'ALTER ROLE watched_monitor NOLOGIN'; "
        'runuser -u postgres -- psql -qc "SELECT pg_terminate_backend(pid) FROM pg_stat_activity '
        "WHERE usename = 'watched_monitor'\"",
        "runuser -u postgres -- psql -qc 'ALTER ROLE watched_monitor LOGIN'",
        {"exporters measure what they are for"},
    ),
    "an exporter with more power": (
        ALL,
        ALL,
        "printf '[Service]\\nUser=root\\n' > /etc/systemd/system/prometheus-nginx-exporter.service.d/90.conf; "
        "systemctl daemon-reload",
        "rm /etc/systemd/system/prometheus-nginx-exporter.service.d/90.conf; systemctl daemon-reload",
        {"exporters can do no more than they need"},
    ),
    "a password that all may read": (
        ALL,
        ALL,
        "chmod 644 /etc/default/prometheus-redis-exporter",
        "chmod 600 /etc/default/prometheus-redis-exporter",
        {"files are readable by those who need them only"},
    ),
    "exporters that anybody may ask": (
        ALL,
        MON,
        "nft insert rule inet mainstay input tcp dport 9100 accept",
        "nft -f /etc/nftables.conf",
        {"nobody but monitoring is measured from here"},
    ),
    "an Alertmanager that is stopped": (
        MON,
        MON,
        "systemctl stop prometheus-alertmanager; sleep 6",
        "systemctl start prometheus-alertmanager",
        {
            "servers run and start at boot",
            "servers listen on loopback only",
            "every target is asked and answers",
            "alerts reach alertmanager",
            "each severity goes to its receiver",
        },
    ),
    "a server that all can reach": (
        MON,
        MON,
        "sed -i s/127.0.0.1:9093/0.0.0.0:9093/ /etc/default/prometheus-alertmanager; "
        "systemctl restart prometheus-alertmanager",
        "sed -i s/0.0.0.0:9093/127.0.0.1:9093/ /etc/default/prometheus-alertmanager; "
        "systemctl restart prometheus-alertmanager",
        {"servers listen on loopback only"},
    ),
    "a rule by hand": (
        MON,
        MON,
        "sed -i 's/cpu_pct > 70/cpu_pct > 99/' /etc/prometheus/rules/*; systemctl reload prometheus; sleep 2",
        "sed -i 's/cpu_pct > 99/cpu_pct > 70/' /etc/prometheus/rules/*; systemctl reload prometheus",
        {"rules in force are the inventory s"},
    ),
    "a file that is refused": (
        MON,
        MON,
        "echo 'no_such_key: 1' >> /etc/prometheus/alertmanager.yml",
        "sed -i '$d' /etc/prometheus/alertmanager.yml",
        {"prometheus and alertmanager accept their files"},
    ),
    "a rule that fails": (
        MON,
        MON,
        "printf 'groups:\\n- name: bad\\n  rules:\\n  - record: bad\\n    expr: up * on (job) group_left up\\n' "
        "> /etc/prometheus/rules/bad.yml; sed -i 's#rules/mainstay.yml#rules/*.yml#' /etc/prometheus/prometheus.yml; "
        "systemctl reload prometheus; sleep 6",
        "cd /etc/prometheus; rm rules/bad.yml; sed -i 's#rules/[*].yml#rules/mainstay.yml#' prometheus.yml; "
        "systemctl reload prometheus",
        {"no rule fails"},
    ),
    "a console that Prometheus cannot read": (
        MON,
        MON,
        "sed -i '1i {{ no }}' /etc/prometheus/consoles/databases.html",
        "sed -i 1d /etc/prometheus/consoles/databases.html",
        {"every console can be shown"},
    ),
    "a severity that goes elsewhere": (
        MON,
        MON,
        "sed -i '0,/receiver: pager/s//receiver: office/' /etc/prometheus/alertmanager.yml; "
        "systemctl reload prometheus-alertmanager; sleep 1",
        "sed -i '0,/receiver: office/s//receiver: pager/' /etc/prometheus/alertmanager.yml; "
        "systemctl reload prometheus-alertmanager",
        {"each severity goes to its receiver"},
    ),
}


@pytest.mark.parametrize("name", BREAKS)
def test_a_broken_part_fails_its_checks_and_no_other(watch: Watched, name: str) -> None:
    seen_from, host, broken, mended, checks = BREAKS[name]
    watch.sh(host, broken)
    try:
        assert failing(watch, seen_from) == checks
    finally:
        watch.sh(host, mended)


def test_an_instance_that_is_not_measured_is_seen(watch: Watched) -> None:
    watch.sh(ALL, f"systemctl stop {API}; sleep 6")
    try:
        assert failing(watch, MON) == {"every instance of a service is measured"}
    finally:
        watch.sh(ALL, f"systemctl start {API}; sleep 6")


def test_a_receiver_that_takes_nothing_is_seen(watch: Watched) -> None:
    watch.sh(MON, "systemctl stop receiver")
    watch.sh(ALL, "systemctl stop redis-server")
    try:
        watch.sh(MON, "sleep 40")
        watch.sh(ALL, "systemctl start redis-server")
        assert failing(watch, MON) == {"receivers take what they are told"}
    finally:
        watch.sh(ALL, "systemctl start redis-server")
        watch.listen()


def test_nothing_is_left_of_all_this(watch: Watched) -> None:
    assert watch.mainstay("plan", watch.target, "--exit-code").returncode == 0
