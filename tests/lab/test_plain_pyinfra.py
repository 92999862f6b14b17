"""Plain pyinfra on the same tree: no Mainstay command in sight, and the changes that `mainstay plan` shows."""

from __future__ import annotations

import json
import sys

import pytest

from tests.lab.laptop import ROOT, SYSTEM, Done, Laptop

STAGING = f"{SYSTEM}/staging"


def pyinfra(laptop: Laptop, *words: str) -> Done:
    """`pyinfra inventories/<system>/staging.py deploys/site.py`, with the laptop's deploys being the tree's own."""
    for name in ("deploys", "facts", "templates"):
        if not (laptop.project / name).exists():
            (laptop.project / name).symlink_to(ROOT / name)
    done = laptop.run(sys.executable, "-m", "pyinfra", *words, f"inventories/{SYSTEM}/staging.py", "deploys/site.py")
    assert "Traceback" not in done.text
    return done


def planned_by_pyinfra(laptop: Laptop, *words: str) -> dict[str, list[str]]:
    """What would change, by host, in the order of the operations."""
    done = pyinfra(laptop, "--json", "--dry", *words)
    assert done.code == 0, done.text
    found: dict[str, list[str]] = {}
    for operation in json.loads(done.out[done.out.index("{") :])["plan"]:
        for host in operation["hosts_with_change"] + operation["hosts_with_conditional_change"]:
            found.setdefault(host, []).append(", ".join(operation["names"]))
    return found


def planned_by_mainstay(laptop: Laptop) -> dict[str, list[str]]:
    done = laptop.mainstay("plan", STAGING, "--json")
    assert done.code == 0, done.text
    hosts = done.json["hosts"]
    return {name: [c["operation"] for c in host["changes"]] for name, host in hosts.items() if host["changes"]}


def same(one: dict[str, list[str]], other: dict[str, list[str]]) -> None:
    """Host by host, operation by operation; pyinfra lists hosts' operations in one order for all of them."""
    assert one.keys() == other.keys()
    for host, operations in one.items():
        assert sorted(operations) == sorted(other[host]), host


def test_a_bare_host_gets_the_same_plan_from_both(bare: Laptop) -> None:
    # No operator is known to it yet; Mainstay makes its first contact as the image's user by itself.
    theirs = planned_by_pyinfra(bare, "--ssh-user", "debian")
    assert len(theirs) == 5 and all(len(operations) > 5 for operations in theirs.values())
    same(planned_by_mainstay(bare), theirs)


def test_a_converged_host_needs_nothing_of_either(laptop: Laptop, staging: list[str]) -> None:
    assert planned_by_pyinfra(laptop) == planned_by_mainstay(laptop) == {}


@pytest.mark.parametrize(
    ("host", "drift"),
    [
        ("eai-stg-web-1", "echo '# by hand' >> /etc/nginx/nginx.conf"),
        ("eai-stg-cache-1", "chmod 644 /etc/redis/redis.conf"),
    ],
)
def test_drift_is_the_same_change_to_both_and_plain_pyinfra_mends_it(
    laptop: Laptop, staging: list[str], host: str, drift: str
) -> None:
    before = laptop.fingerprints([host])
    laptop.sh(host, drift)
    theirs = planned_by_pyinfra(laptop)
    assert list(theirs) == [host]
    same(planned_by_mainstay(laptop), theirs)
    done = pyinfra(laptop, "-y", "--limit", host)
    assert done.code == 0, done.text
    assert planned_by_mainstay(laptop) == {}
    after = laptop.fingerprints([host])
    assert [line for line in after[host] if "/var/lib/mainstay/" not in line] == [
        line for line in before[host] if "/var/lib/mainstay/" not in line
    ]
    # What plain pyinfra wrote shows in `status` until a run of Mainstay has verified it.
    assert "was written by plain pyinfra" in laptop.mainstay("status", STAGING).text
    applied = laptop.mainstay("apply", STAGING, "--limit", host)
    assert applied.code == 0, applied.text
    status = laptop.mainstay("status", STAGING)
    assert status.code == 0, status.text


def test_a_fault_of_the_inventory_is_mainstay_s_own_sentence(laptop: Laptop) -> None:
    laptop.edit("system.yaml", "workers: 4 ", "workers: four ")
    done = pyinfra(laptop, "--dry")
    assert done.code == 1
    assert "services.backend.workers: found 'four', expected a whole number" in done.text
