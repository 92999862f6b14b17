"""What services log, counted by the inventory's patterns on a real host, and told when it is too much (LG-11)."""

from __future__ import annotations

import json
import shlex
import time
from collections.abc import Callable

import pytest

from tests.lab.test_monitoring_alerts import in_json
from tests.lab.watched import ALL, MON, Watched

TAG = "watched-api"
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
    ask = "http://127.0.0.1:9090/api/v1/query?query=log_pattern_total"
    found = json.loads(watch.sh(MON, f"curl -sSf {ask}"))["data"]["result"]
    assert {(one["metric"]["host"], one["metric"]["service"]) for one in found} <= {(ALL, "api")}
    return {one["metric"]["pattern"]: float(one["value"][1]) for one in found}


def within(seconds: float, what: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + seconds
    while not (found := what()) and time.monotonic() < deadline:
        time.sleep(3)
    return found


@pytest.mark.covers("LG-11")
def test_each_line_counts_once_and_only_for_its_pattern(watch: Watched) -> None:
    assert within(60, lambda: set(counts(watch)) == set(LINES)), counts(watch)  # zeros, before anything was logged
    before = counts(watch)
    for line in LINES.values():
        watch.sh(ALL, f"logger -t {TAG} {shlex.quote(line)}; logger -t other {shlex.quote(line)}")
    watch.sh(ALL, f"logger -t {TAG} 'status_code=404 took 3ms'")
    wanted = {pattern: count + 1 for pattern, count in before.items()}
    assert within(60, lambda: counts(watch) == wanted), (before, counts(watch))


@pytest.mark.covers("LG-11")
def test_too_many_lines_are_told_with_the_pattern_and_their_end(watch: Watched) -> None:
    watch.forget()
    storm = "for i in $(seq 200); do logger -t watched-api 'KIE API error: again'; sleep 1; done"
    watch.sh(ALL, f"systemd-run -q --unit=storm bash -c {shlex.quote(storm)}")
    try:
        (told, *_) = watch.wait_for(in_json("firing", "warning", "LogPattern"), 150)
    finally:
        watch.sh(ALL, "systemctl stop storm")
    assert (told["labels"]["host"], told["labels"]["service"]) == (ALL, "api")
    assert told["labels"]["pattern"] == "KIE API error"
    assert "lines of the log that match, above 10" in told["annotations"]["summary"]
    watch.wait_for(in_json("resolved", "warning", "LogPattern"), 400)


def test_a_reader_that_dies_is_started_anew_with_what_it_feeds(watch: Watched) -> None:
    """mtail itself would go on, and count nothing."""
    pid = watch.sh(ALL, "systemctl show -P MainPID mtail").strip()
    watch.sh(ALL, "pkill -f -- '^journalctl --follow .*--identifier=watched-api'; sleep 8")
    now = watch.sh(ALL, "systemctl show -P MainPID mtail; systemctl is-active mtail").split()
    assert now[1] == "active" and now[0] != pid
    watch.sh(ALL, f"logger -t {TAG} 'KIE API error: after all'")
    assert within(60, lambda: counts(watch)["KIE API error"] >= 1)
