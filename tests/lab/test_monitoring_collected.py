"""What services log, counted by the inventory's patterns on a real host, and told when it is too much (LG-11)."""

from __future__ import annotations

import shlex
import time
from collections.abc import Callable

import pytest

from deploys.components.monitoring import collected
from tests.lab.test_monitoring_alerts import in_json
from tests.lab.test_monitoring_measures import asked
from tests.lab.watched import ALL, Watched

LINES = {
    "Authentication failed": "WARN Authentication failed for somebody",
    "Database connection": "ERROR Database connection lost",
    "status_code=5": "GET /api/items status_code=502 took 5ms",
    "Rate limit exceeded": "Rate limit exceeded by 198.18.0.1",
    "KIE API error": "KIE API error: timeout",
    'a "b" /c\\d+': 'x a "b" /c123',
}


def counts(watch: Watched) -> dict[str, float]:
    """By pattern, as Prometheus has them."""
    found = asked(watch, collected.LOGGED)
    assert {(labels["host"], labels["service"]) for labels, _ in found} <= {(ALL, "api")}
    return {labels["pattern"]: value for labels, value in found}


def within(seconds: float, what: Callable[[], bool]) -> bool:
    """Looks every 2 s."""
    deadline = time.monotonic() + seconds
    while not (found := what()) and time.monotonic() < deadline:
        time.sleep(2)
    return found


def log(watch: Watched, line: str, tag: str = "watched-api") -> None:
    """A line as the service would write it."""
    watch.sh(ALL, f"logger -t {tag} {shlex.quote(line)}")


@pytest.mark.covers("LG-11")
def test_each_line_counts_once_and_only_for_its_pattern_and_service(watch: Watched) -> None:
    assert within(60, lambda: set(counts(watch)) == set(LINES)), counts(watch)  # zeros, before anything was logged
    before = counts(watch)
    for line in LINES.values():
        log(watch, line)
        log(watch, line, "other")
    log(watch, "status_code=404 took 3ms")
    wanted = {pattern: count + 1 for pattern, count in before.items()}
    assert within(60, lambda: counts(watch) == wanted), (before, counts(watch))
    time.sleep(15)  # three more looks: what was counted is not counted again
    assert counts(watch) == wanted


@pytest.mark.covers("LG-11")
def test_too_many_lines_are_told_with_their_pattern_and_their_end(watch: Watched) -> None:
    watch.forget()
    storm = "for i in $(seq 200); do logger -t watched-api 'KIE API error: again'; sleep 1; done"
    watch.sh(ALL, f"systemd-run -q --unit=storm bash -c {shlex.quote(storm)}")
    try:
        (told, *_) = watch.wait_for(in_json("firing", "warning", "LogPattern"), 150)
    finally:
        watch.sh(ALL, "systemctl stop storm")
    assert (told["labels"]["host"], told["labels"]["service"]) == (ALL, "api")
    assert told["labels"]["pattern"] == "KIE API error"
    assert "entries of the log that match, above 10" in told["annotations"]["summary"]
    watch.wait_for(in_json("resolved", "warning", "LogPattern"), 400)


def test_what_was_logged_while_nobody_counted_is_counted_later(watch: Watched) -> None:
    watch.sh(ALL, f"systemctl stop {collected.UNIT}")
    before = counts(watch)
    for _ in range(3):
        log(watch, "Rate limit exceeded")
    watch.sh(ALL, "journalctl --rotate; sleep 6")
    assert counts(watch) == before
    watch.sh(ALL, f"systemctl start {collected.UNIT}")
    assert within(60, lambda: counts(watch)["Rate limit exceeded"] == before["Rate limit exceeded"] + 3)


def test_a_count_that_fails_is_found_by_verification_and_keeps_what_it_has(watch: Watched) -> None:
    """It may read no more: it is started anew in vain, the file stands, and all is well when it may again."""
    before = counts(watch)
    drop_in = f"/run/systemd/system/{collected.UNIT}.d"
    deny = f"mkdir -p {drop_in}; printf '[Service]\\nInaccessiblePaths=/usr/bin/journalctl\\n' > {drop_in}/deny.conf"
    watch.sh(ALL, f"{deny}; systemctl daemon-reload; systemctl restart {collected.UNIT}")
    try:
        time.sleep(collected.oldest_s(watch.environment))
        verified = watch.mainstay("verify", watch.target, "--limit", ALL)
        assert verified.returncode != 0
        assert "services are measured" in verified.stdout + verified.stderr
    finally:
        watch.sh(ALL, f"rm -r {drop_in}; systemctl daemon-reload; systemctl restart {collected.UNIT}")
    assert counts(watch) == before


@pytest.mark.covers("MT-15")
def test_what_a_unit_uses_is_its_share_of_the_host(watch: Watched) -> None:
    """A process that never waits, for a minute: the count is the kernel's own, however busy the machine is."""
    unit = "watched-api@18000.service"
    cores = int(watch.sh(ALL, "nproc"))
    group = "/sys/fs/cgroup" + watch.sh(ALL, f"systemctl show --value --property=ControlGroup {unit}").strip()
    busy = f"echo $$ > {shlex.quote(group)}/cgroup.procs && exec timeout 60 sh -c 'while :; do :; done'"

    def used() -> float:
        return int(watch.sh(ALL, f"sed -n 's/^usage_usec //p' {shlex.quote(group)}/cpu.stat")) / 1e6

    def counted() -> float:
        ((labels, value),) = asked(watch, collected.CPU + f'{{host="{ALL}",unit="{unit}"}}')
        assert labels["service"] == "api"
        return value

    before, at_first = used(), counted()
    watch.sh(ALL, f"setsid --fork bash -c {shlex.quote(busy)} > /dev/null 2>&1")
    time.sleep(62)
    after = used()
    assert after - before > 5
    assert within(60, lambda: abs(counted() - after) < 0.5), (counted(), after)
    assert abs(at_first - before) < 0.5
    ((_, share),) = asked(watch, f'mainstay:unit_cpu_pct{{unit="{unit}"}}')
    assert 0 < share <= 100 / cores + 1
