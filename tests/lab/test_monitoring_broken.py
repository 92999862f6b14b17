"""Monitoring that somebody broke: each check of it is seen to fail, and no other."""

from __future__ import annotations

import pytest

from tests.lab.watched import ALL, MON, Watched

API = "watched-api@18000.service"


def failing(watch: Watched, *hosts: str) -> set[str]:
    return watch.failing("monitoring", *hosts)


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
            "services are measured by their logs and units",
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
        "sed -i 's/:cpu_pct > 70/:cpu_pct > 99/' /etc/prometheus/rules/*; systemctl reload prometheus; sleep 2",
        "sed -i 's/:cpu_pct > 99/:cpu_pct > 70/' /etc/prometheus/rules/*; systemctl reload prometheus",
        {"rules in force are the inventory s"},
    ),
    "a measure by hand": (
        MON,
        MON,
        "sed -i 's/MemAvailable/MemFree/' /etc/prometheus/rules/*; systemctl reload prometheus; sleep 2",
        "sed -i 's/MemFree/MemAvailable/' /etc/prometheus/rules/*; systemctl reload prometheus",
        {"rules in force are the inventory s"},
    ),
    "a link by hand": (
        MON,
        MON,
        "sed -i 's/runbooks.watched/elsewhere/' /etc/prometheus/rules/*; systemctl reload prometheus; sleep 2",
        "sed -i 's/elsewhere/runbooks.watched/' /etc/prometheus/rules/*; systemctl reload prometheus",
        {"rules in force are the inventory s"},
    ),
    "a file that is refused": (
        MON,
        MON,
        "echo 'no_such_key: 1' >> /etc/prometheus/alertmanager.yml",
        "sed -i '$d' /etc/prometheus/alertmanager.yml; systemctl reload prometheus-alertmanager",
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
        {"no rule fails", "rules in force are the inventory s"},
    ),
    "a console that Prometheus cannot read": (
        MON,
        MON,
        "sed -i '1i {{ no }}' /etc/prometheus/consoles/databases.html",
        "sed -i 1d /etc/prometheus/consoles/databases.html; systemctl reload prometheus",
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
    done = watch.mainstay("plan", watch.target, "--exit-code")
    assert done.returncode == 0, done.stdout + done.stderr
