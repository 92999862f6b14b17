"""What is measured of hosts, and of the units on them."""

from __future__ import annotations

from deploys.components.monitoring import collected
from deploys.components.monitoring.measure import Measure

REAL_DISKS = 'fstype!~"tmpfs|ramfs|overlay|squashfs|iso9660|fuse.*"'
DISK = ("node_filesystem_avail_bytes", "node_filesystem_size_bytes")


def of_hosts() -> list[Measure]:
    """What every host gives: CPU, memory, disks, each in percent."""
    return [
        Measure(
            "cpu_pct",
            "Cpu",
            "CPU in use, of all cores together",
            ("host",),
            # By all modes: a rate whose five minutes are not full yet is too low, and would read as no idleness.
            '100 * (1 - sum by (host) (rate(node_cpu_seconds_total{job="node",mode="idle"}[5m])) / '
            'sum by (host) (rate(node_cpu_seconds_total{job="node"}[5m])))',
            ("node_cpu_seconds_total",),
            "node",
        ),
        Measure(
            "memory_pct",
            "Memory",
            "memory in use, without what the kernel can give back",
            ("host",),
            '100 * (1 - max by (host) (node_memory_MemAvailable_bytes{job="node"} / '
            'node_memory_MemTotal_bytes{job="node"}))',
            ("node_memory_MemAvailable_bytes", "node_memory_MemTotal_bytes"),
            "node",
        ),
        Measure("disk_pct", "Disk", "disk in use", ("host", "mountpoint"), disk(""), DISK, "node"),
    ]


def disk(matchers: str) -> str:
    """PromQL: how much of each real disk is in use, in percent; `matchers`, as in `,label="value"`, say which disks."""
    these = f'{{job="node",{REAL_DISKS}{matchers}}}'
    ratio = f"node_filesystem_avail_bytes{these} / node_filesystem_size_bytes{these}"
    return f"100 * (1 - max by (host, mountpoint) ({ratio}))"


def of_units() -> list[Measure]:
    """Of each instance by its control group; what has no MemoryMax has no share of it."""
    of = ("service", "host", "unit")
    cores = 'count by (host) (node_cpu_seconds_total{job="node",mode="idle"})'
    memory, limit = (f'{name}{{job="node"}}' for name in (collected.MEMORY, collected.MEMORY_MAX))
    return [
        Measure(
            "unit_cpu_pct",
            "UnitCpu",
            "CPU in use by one unit, of all cores together",
            of,
            f'100 * sum by (service, host, unit) (rate({collected.CPU}{{job="node"}}[5m])) '
            f"/ on (host) group_left () {cores}",
            (),
            "node",
        ),
        Measure(
            "unit_memory_pct",
            "UnitMemory",
            "of MemoryMax in use, without what the kernel can give back",
            of,
            f"100 * max by (service, host, unit) ({memory} / {limit})",
            (),
            "node",
        ),
    ]
