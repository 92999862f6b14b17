"""A first installation that fails at its very end: nothing of it may be left on a host that was bare."""

from __future__ import annotations

import json

from tests.lab.bench import Bench
from tests.lab.laptop import FINGERPRINT, SYSTEM

# One check of the operator's own, which runs after all the others have passed.
LATE = 'def test_late(member):\n    assert member.name != "{host}", "fails late, as the test asks"\n'
# What accounts and packages leave, which the report names as what cannot be undone. Debian lets chrony take the place
# of timesyncd, which is then gone: the ground's own services go on as their packages bring them.
ACCOUNTS = ("/etc/passwd", "/etc/group", "/etc/shadow", "/etc/gshadow", "/etc/subuid", "/etc/subgid", "/home/")
PACKAGES = ("/etc/ld.so.cache", "/etc/ssl/private", "timesync", "chrony", "unattended-upgrades")
# What stays to put a host back: the host's own scripts, and the unit that plays a journal back at boot.
KIT = ("/usr/local/lib/mainstay", "mainstay-deadman-boot.service")


def first_installation_put_back(bench: Bench, *hosts: str) -> None:
    """Asserts what a put-back leaves on bare hosts, then that a second one leaves exactly the same.

    After the first the packages are there: their own files, and their units, neither enabled nor running.
    """
    bare = {host: fingerprint(bench, host) for host in hosts}
    declared = applied_and_put_back(bench, hosts)
    once = {host: fingerprint(bench, host) for host in hosts}
    for host in hosts:
        assert any(text.startswith("packages installed: ") for text in declared[host])
        as_it_was(host, bare[host], once[host])
    applied_and_put_back(bench, hosts)
    for host in hosts:
        twice = fingerprint(bench, host)
        gone, new = sorted(once[host] - twice), sorted(twice - once[host])
        assert not gone + new, f"{host}: gone: {gone}, new: {new}"


def as_it_was(host: str, bare: set[str], now: set[str]) -> None:
    """Asserts that nothing is gone, and that what is new is the packages' own and neither runs nor starts at boot."""
    gone = [line for line in sorted(bare - now) if not any(known in line for known in (*ACCOUNTS, *PACKAGES))]
    assert not gone, f"{host}: was there before: {gone}"
    new = [line for line in sorted(now - bare) if not any(known in line for known in (*ACCOUNTS, *PACKAGES, *KIT))]
    ours = [line for line in new if "mainstay" in line or SYSTEM in line]
    assert not ours, f"{host}: was not there before: {ours}"
    words = [line.split() for line in new]
    running = [name for what, name, *state in words if what == "unit" and state[0] != "inactive"]
    enabled = [name for what, name, *state in words if what == "enabled" and state[0].startswith("enabled")]
    assert not running + enabled, f"{host}: run or start at boot, and did not before: {running}, {enabled}"


def applied_and_put_back(bench: Bench, hosts: tuple[str, ...]) -> dict[str, list[str]]:
    """Applies with a check that fails on the last host; what the report names as what cannot be undone, by host."""
    check = bench.project / "tests" / "verify" / "test_late.py"
    check.parent.mkdir(parents=True, exist_ok=True)
    check.write_text(LATE.format(host=hosts[-1]))
    try:
        done = bench.mainstay("apply", bench.target, "--limit", ",".join(hosts), "--json")
    finally:
        check.unlink()
    assert done.returncode == 1, done.stdout + done.stderr
    environment = json.loads(done.stdout)["environments"][0]
    failures = environment["batches"][0]["failures"]
    assert list(failures) == [hosts[-1]] and "fails late" in failures[hosts[-1]], failures
    back = {each["host"]: each for each in environment["put_back"]}
    assert {host: (back[host]["ok"], back[host]["left"]) for host in back} == dict.fromkeys(hosts, (True, []))
    return {host: back[host]["irreversible"] for host in hosts}


def fingerprint(bench: Bench, host: str) -> set[str]:
    """What the host is, a line each: files with modes, owners and digests, links, units and their states."""
    return set(bench.inside(host, FINGERPRINT).splitlines())
