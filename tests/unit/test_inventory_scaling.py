"""How many instances, and when: each rule of `scaling`."""

from __future__ import annotations

from pathlib import Path

import pytest

from mainstay.errors import InventoryError
from mainstay.inventory import load
from tests.unit.inventories import Edit, copied, loaded, messages


def shared(text: str) -> Edit:
    """The section, in system.yaml."""
    return ("system.yaml", "oncall:", f"scaling:\n  {text}\n\noncall:")


def own(text: str) -> Edit:
    """The section, in production.yaml, which has three app hosts with one or two instances each."""
    return ("production.yaml", "redis:\n", f"scaling:\n  {text}\n\nredis:\n")


CASES: dict[str, tuple[Edit, str]] = {
    "up below down": (
        shared("backend: {rules: {cpu: {metric: cpu_pct, up: 25, down: 75}}}"),
        "scaling.backend.rules.cpu: found up 25, down 75, expected up > down",
    ),
    "up at down": (
        shared("backend: {rules: {cpu: {metric: cpu_pct, up: 75, down: 75}}}"),
        "scaling.backend.rules.cpu: found up 75, down 75, expected up > down",
    ),
    "only up": (
        shared("backend: {rules: {cpu: {metric: cpu_pct, up: 75}}}"),
        "scaling.backend.rules.cpu: found up, expected up and down, or target",
    ),
    "two ways at once": (
        shared("backend: {rules: {cpu: {metric: cpu_pct, up: 75, down: 25, target: 70}}}"),
        "scaling.backend.rules.cpu: found up, down, target, expected up and down, or target",
    ),
    "no way": (
        shared("backend: {rules: {cpu: {metric: cpu_pct}}}"),
        "scaling.backend.rules.cpu: found none of up, down, target, expected up and down, or target",
    ),
    "more than the hosts take": (
        own("backend: {counts: {burst: 7}}"),
        "scaling.backend.counts.burst: found 7, expected 3 to 6: 3 hosts, 1 to 2 on each",
    ),
    "fewer than the hosts take": (
        own("backend: {counts: {night: 2}}"),
        "scaling.backend.counts.night: found 2, expected 3 to 6: 3 hosts, 1 to 2 on each",
    ),
    "files do not scale": (
        shared("frontend: {incident_step: 2}"),
        "scaling.frontend: found 'frontend', expected a service that runs instances",
    ),
    "more at least than run": (
        own("backend: {least: 4}"),
        "scaling.backend.least: found 4, and 3 by services.backend.instances.base, expected no more than run at first",
    ),
    "no such service": (
        shared("worker: {incident_step: 2}"),
        "scaling.worker: found 'worker', expected a service that runs instances",
    ),
    "more memory while it is short": (
        shared("backend: {incident_memory: 1G}"),
        "scaling.backend.incident_memory: found 1G, expected at most limits.memory_max of backend, 512M",
    ),
    "a variable that is not there": (
        shared("backend: {incident_variables: {GOGC: 50}}"),
        "scaling.backend.incident_variables.GOGC: found 'GOGC', expected a variable of backend",
    ),
    "a measure of something else": (
        shared("backend: {rules: {disk: {metric: disk_pct, target: 70}}}"),
        "scaling.backend.rules.disk.metric: found 'disk_pct', expected 'cpu_pct' or 'memory_pct'",
    ),
}


@pytest.mark.parametrize(("edit", "message"), CASES.values(), ids=CASES.keys())
def test_each_fault_is_one_sentence(tmp_path: Path, edit: Edit, message: str) -> None:
    there = [shared("backend: {}")] if edit[0] == "production.yaml" else []
    assert messages(copied(tmp_path, *there, edit)) == [message]


@pytest.mark.covers("SC-16")
def test_fewer_hosts_than_a_change_without_downtime_needs_are_refused(tmp_path: Path) -> None:
    """Production of a system that never runs fewer than three, with one of its three hosts away."""
    path = copied(tmp_path, system="toeic") / "inventories" / "toeic" / "production.yaml"
    text = path.read_text()
    path.write_text("".join(line for line in text.splitlines(keepends=True) if "toeic-app-3:" not in line))
    with pytest.raises(InventoryError) as refused:
        load("toeic", "production", root=tmp_path)
    assert (
        "scaling.app.least: found 3, and 2 by services.app.instances.base, expected no more than run at first"
        in str(refused.value)
    )


def test_rules_and_counts(tmp_path: Path) -> None:
    rules = (
        "backend:\n    rules:\n      custom_cpu_rule: {metric: cpu_pct, up: 75.0, down: 25.0, step_up: 2}\n"
        "      memory_scaling: {metric: memory_pct, enabled: false}\n      by_target: {metric: cpu_pct, target: 70}"
    )
    root = copied(tmp_path, shared(rules), own("backend: {counts: {stressed: 5, emergency: 6}, least: 3}"))
    scaling = loaded(root).common.scaling["backend"]
    assert [(name, rule.enabled) for name, rule in scaling.rules.items()] == [
        ("custom_cpu_rule", True),
        ("memory_scaling", False),
        ("by_target", True),
    ]
    assert (scaling.counts, scaling.least) == ({"stressed": 5, "emergency": 6}, 3)
    staging = loaded(root, "staging").common.scaling["backend"]
    assert staging.counts == {}, "numbers of instances are an environment's own"
