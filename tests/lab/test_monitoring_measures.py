"""What the exporters count and the consoles draw, held against what was really done on a host."""

from __future__ import annotations

import json
import subprocess
import time

import pytest

from deploys.components.monitoring import consoles
from mainstay import ssh
from tests.lab.watched import ALL, MON, Watched

RECEIVED, WRITTEN = "node_network_receive_bytes_total", "node_disk_written_bytes_total"
# Until it is looked at, and until the kernel writes down what nobody waits for (after 30 s, by its default).
COUNTED_WITHIN_S = 120


def asked(watch: Watched, query: str) -> list[tuple[dict[str, str], float]]:
    """Labels and value of each series that Prometheus has for a query now."""
    ask = f"curl -sS --data-urlencode query='{query}' http://127.0.0.1:9090/api/v1/query"
    found = json.loads(watch.sh(MON, ask))["data"]["result"]
    return [(one["metric"], float(one["value"][1])) for one in found]


def counted(watch: Watched, query: str) -> float:
    """The one number of a query."""
    ((_, value),) = asked(watch, query)
    return value


def grown(watch: Watched, query: str, before: float, least: float) -> float:
    """By how much a counter has grown, once it has by `least` or no look at the host can be outstanding."""
    deadline = time.monotonic() + COUNTED_WITHIN_S
    while (more := counted(watch, query) - before) < least and time.monotonic() < deadline:
        time.sleep(2)
    return more


def panel(watch: Watched, title: str) -> str:
    """The expression that a console draws under a title."""
    every = [panel for console in consoles.consoles(watch.environment) for panel in console.panels]
    return next(one.expr for one in every if one.title == title)


@pytest.mark.covers("MT-18")
def test_what_a_host_receives_is_counted_at_its_cable_alone(watch: Watched) -> None:
    """100 MB to the host, over its cable."""
    cable = f'sum({RECEIVED}{{host="{ALL}",device!~"lo|veth.*"}})'
    before = counted(watch, cable)
    environment = watch.environment
    argv = [*ssh.command_line(environment, environment.hosts[ALL]), "cat > /dev/null"]
    subprocess.run(argv, input=bytes(100_000_000), check=True, timeout=120)
    more = grown(watch, cable, before, 100_000_000)
    assert 100_000_000 <= more < 115_000_000, f"{more:.0f} bytes more, with what SSH adds"
    assert "lo" not in {labels["device"] for labels, _ in asked(watch, f'{RECEIVED}{{host="{ALL}"}}')}
    assert 'device!~"lo|' in panel(watch, "Received") and 'device!~"lo|' in panel(watch, "Sent")


@pytest.mark.covers("MT-17")
def test_what_a_host_writes_is_counted_at_its_disks(watch: Watched) -> None:
    """A lab's hosts share the machine's disk, so others may write beside; and their own takes no order to write now."""
    disks = f'max({WRITTEN}{{host="{ALL}"}})'
    before = counted(watch, disks)
    watch.sh(ALL, "dd if=/dev/urandom of=/var/tmp/much bs=1M count=1000 2>/dev/null", 300)
    more = grown(watch, disks, before, 1_000_000_000)
    watch.sh(ALL, "rm /var/tmp/much")
    assert more >= 1_000_000_000
    assert WRITTEN in panel(watch, "Written to disks")
    assert any(labels["host"] == ALL and rate > 0 for labels, rate in asked(watch, panel(watch, "Written to disks")))
