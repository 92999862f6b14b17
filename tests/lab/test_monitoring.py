"""Monitoring on real hosts, from bare to converged: what is in force, what is refused, and what stays secret.

Alerts, consoles and checks that are seen to fail have files of their own beside this one.
"""

from __future__ import annotations

import json

import pytest

from tests.lab.bench import ROOT
from tests.lab.watched import ALL, MON, OFFICE, PAGER, REPLICA, Watched


def test_the_plan_after_one_apply_from_bare_is_empty(watch: Watched) -> None:
    assert watch.mainstay("plan", watch.target, "--exit-code").returncode == 0


@pytest.mark.covers("MT-41", "MT-51", "MT-53")
def test_a_converged_system_passes_every_check(watch: Watched) -> None:
    assert watch.failing("monitoring", ALL, MON, REPLICA) == set()


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
