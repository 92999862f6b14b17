"""The consoles, as an operator's browser shows them through a tunnel."""

from __future__ import annotations

import os
import re
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from deploys.components.monitoring import consoles
from mainstay import ssh
from mainstay.lab.outside import connects
from tests.lab.watched import ALL, MON, Watched
from tests.unit.serving import free_port


def shown(watch: Watched, page: str) -> str:
    """What Chromium makes of a console: the document after its scripts have asked for what they draw."""
    command = ["chromium", "--headless", "--no-sandbox", "--disable-gpu", "--virtual-time-budget=8000"]
    with tunnel(watch) as url:
        address, pictures = f"{url}/consoles/{page}", os.environ.get("MAINSTAY_PICTURES")
        if pictures:  # for people to look at
            picture = f"--screenshot={pictures}/{page.removesuffix('.html')}.png"
            subprocess.run([*command, "--window-size=1240,1800", picture, address], capture_output=True, check=True)
        done = subprocess.run([*command, "--dump-dom", address], capture_output=True, text=True, timeout=90, check=True)
    return done.stdout


@contextmanager
def tunnel(watch: Watched) -> Iterator[str]:
    """Prometheus on a port of the laptop, through SSH, as docs/components/monitoring.md says."""
    environment = watch.environment
    argv = ssh.command_line(environment, environment.hosts[MON])
    port = free_port()
    options = ["-N", "-o", "ExitOnForwardFailure=yes", "-L", f"127.0.0.1:{port}:127.0.0.1:9090"]
    process = subprocess.Popen([argv[0], *options, *argv[1:]], stdin=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + 15
        while not connects("127.0.0.1", port):
            assert process.poll() is None and time.monotonic() < deadline, "no tunnel"
            time.sleep(0.1)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait()


SQL = "runuser -u postgres -- psql -qd watched -c"


def work(watch: Watched) -> None:
    """Something to see everywhere: requests, rows of a table, keys that the cache has and has not."""
    rows = "INSERT INTO items SELECT generate_series(1, 9); UPDATE items SET n = n + 1; DELETE FROM items WHERE n > 5"
    cache = "redis-cli --user mainstay --no-auth-warning"
    once = (
        f'curl -s -o /dev/null http://127.0.0.1:8000/; {SQL} "{rows}"; {cache} SET k 1; {cache} GET k; {cache} GET no'
    )
    watch.sh(ALL, f"cd /; {SQL} 'CREATE TABLE IF NOT EXISTS items (n int)'")
    password = 'export REDISCLI_AUTH="$(cat /etc/mainstay/redis.password)"'
    watch.sh(ALL, f"cd /; {password}; for i in $(seq 15); do {once}; sleep 1; done", 180)


@pytest.mark.covers("DS-01", "DS-02", "DS-05")
def test_consoles_show_what_is_measured_with_the_inventory_s_limits(watch: Watched) -> None:
    """Every panel of every page: a row for what it speaks of, a graph that was drawn, its thresholds."""
    work(watch)
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
    watch.sh(ALL, f"cd /; {SQL} 'DROP TABLE items'")


# The lab's disks are overlays, which no disk is; and the kernel at hand tells no unit's memory.
NOT_HERE = {
    "Disk",
    "Database disk",
    "Unit memory",
    "Unit memory, absolute",
    "Never measured",
}
