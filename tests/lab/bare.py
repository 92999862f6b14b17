"""A first installation that fails at its very end: nothing of it may be left on a host that was bare."""

from __future__ import annotations

import json

from tests.lab.bench import Bench
from tests.lab.laptop import FINGERPRINT

# One check of the operator's own, which runs after all the others have passed.
LATE = 'def test_late(member):\n    assert member.name != "{host}", "fails late, as the test asks"\n'
# What accounts and packages leave, which the report names as what cannot be undone. Debian lets chrony take the place
# of timesyncd, which is then gone: the ground's own services go on as their packages bring them.
ACCOUNTS = ("/etc/passwd", "/etc/group", "/etc/shadow", "/etc/gshadow", "/etc/subuid", "/etc/subgid", "/home/")
PACKAGES = ("/etc/ld.so.cache", "/etc/ssl/private", "timesync", "chrony", "unattended-upgrades")
# What stays to put a host back: the host's own scripts, and the unit that plays a journal back at boot.
KIT = ("/usr/local/lib/mainstay", "mainstay-deadman-boot.service")


def first_installation_put_back(bench: Bench, host: str) -> None:
    """Asserts what a put-back leaves on a bare host, then that a second one leaves exactly the same.

    After the first the packages are there: their own files, and their units, neither enabled nor running.
    """
    bare = fingerprint(bench, host)
    packages = applied_and_put_back(bench, host)
    assert any(text.startswith("packages installed: ") for text in packages)
    once = fingerprint(bench, host)
    gone = [line for line in sorted(bare - once) if not any(known in line for known in (*ACCOUNTS, *PACKAGES))]
    assert not gone, f"was there before: {gone}"
    new = [line for line in sorted(once - bare) if not any(known in line for known in (*PACKAGES, *KIT))]
    assert not [line for line in new if "mainstay" in line], new
    words = [line.split() for line in new]
    running = [name for what, name, *state in words if what == "unit" and state[0] != "inactive"]
    enabled = [name for what, name, *state in words if what == "enabled" and state[0].startswith("enabled")]
    assert not running + enabled, f"run or start at boot, and did not before: {running}, {enabled}"
    applied_and_put_back(bench, host)
    twice = fingerprint(bench, host)
    assert twice == once, f"gone: {sorted(once - twice)}, new: {sorted(twice - once)}"


def applied_and_put_back(bench: Bench, host: str) -> list[str]:
    """Applies with a check that fails, and returns what the report names as what cannot be undone."""
    check = bench.project / "tests" / "verify" / "test_late.py"
    check.parent.mkdir(parents=True, exist_ok=True)
    check.write_text(LATE.format(host=host))
    try:
        done = bench.mainstay("apply", bench.target, "--limit", host, "--json")
    finally:
        check.unlink()
    assert done.returncode == 1, done.stdout + done.stderr
    environment = json.loads(done.stdout)["environments"][0]
    assert "fails late" in environment["batches"][0]["failures"][host], environment
    assert [(back["host"], back["ok"], back["left"]) for back in environment["put_back"]] == [(host, True, [])]
    found: list[str] = environment["put_back"][0]["irreversible"]
    return found


def fingerprint(bench: Bench, host: str) -> set[str]:
    """What the host is, a line each: files with modes, owners and digests, links, units and their states."""
    return set(bench.inside(host, FINGERPRINT).splitlines())
