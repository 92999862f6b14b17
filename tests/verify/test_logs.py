"""Log files as somebody who reads them finds them: there, filled, bounded, and rotated without the service noticing."""

from __future__ import annotations

import re
import shlex
from typing import Any

import pytest

from deploys.components.logs.files import UNITS, log_files
from deploys.components.service.files import running_on
from deploys.operations.logs import wanted
from facts.logs import LogOwners, parse_owners
from facts.units import UnitStates, parse_units
from mainstay.inventory import Environment, Host

ON_HOSTS = pytest.mark.roles("web", "app", "ml")


@pytest.fixture(scope="module")
def written(environment: Environment, member: Host) -> dict[str, str]:
    """The host's log files, by their services' name in the journal."""
    found = log_files(environment, member)
    if not found:
        pytest.skip("no service of this host has a log file")
    return found


@ON_HOSTS
@pytest.mark.covers("LG-10")
def test_files_are_there_for_those_who_may_read_logs(host: Any, written: dict[str, str]) -> None:
    goal = wanted(sorted(written.values()))
    found = parse_owners(host.check_output(LogOwners().command(list(goal))).splitlines())
    wrong = {path: state for path, state in goal.items() if found.get(path) != state}
    told = [f"{path} is {found.get(path, 'not there')}, expected {state}" for path, state in wrong.items()]
    assert not told, "; ".join(told)


@ON_HOSTS
@pytest.mark.covers("LG-10")
def test_the_newest_line_of_the_journal_is_in_the_file(host: Any, written: dict[str, str]) -> None:
    """Of those that rsyslog was there to copy, and had five seconds for; of one that fits a line of text."""
    since = '$(date -d "$(systemctl show -P ActiveEnterTimestamp rsyslog.service)" +@%s)'
    for name, path in written.items():
        newest = f"journalctl -q -t {name} --since {since} --until -5s -n 50 -o cat | grep -E '^[ -~]+$' | tail -n 1"
        missing = f'zgrep -qhF -- "$line" {shlex.quote(path)}* || echo "$line"'
        line = host.check_output(f'line=$({newest}); [ -z "$line" ] || {{ {missing}; }}')
        assert not line, f"{path} does not hold what {name} said: {line}"


@ON_HOSTS
def test_they_are_copied_and_rotated_from_boot_on(host: Any, written: dict[str, str]) -> None:
    states = parse_units(host.check_output(UnitStates().command(UNITS)).splitlines())
    for name in UNITS:
        state = states.get(name)
        assert state is not None, f"{name}: systemd does not know it"
        assert (state.active, state.enabled) == ("active", "enabled"), f"{name} is {state.active} and {state.enabled}"
    calendar = host.check_output("systemctl show -P TimersCalendar logrotate.timer")
    assert "OnCalendar=hourly" in calendar or "OnCalendar=*-*-* *:00:00" in calendar, calendar


@ON_HOSTS
@pytest.mark.covers("LG-08")
def test_logrotate_accepts_its_files_and_knows_the_limit(
    host: Any, environment: Environment, written: dict[str, str]
) -> None:
    """As its timer runs it, with the rules of others beside ours; what is wrong with those is not looked at here."""
    said = host.run("logrotate --debug /etc/logrotate.conf 2>&1").stdout.splitlines()
    ours = [environment.system, *written.values()]
    errors = [line for line in said if line.startswith("error:") and any(word in line for word in ours)]
    assert not errors, errors[0]
    logs = environment.common.logs
    for path in written.values():
        heads = [line for line in said if line.startswith("rotating pattern: ") and path in line.split()]
        assert len(heads) == 1, f"{path} is rotated by {len(heads)} rules"
        # "rotating pattern: FILES  after 1 days (7 rotations)", as logrotate writes what it has read.
        assert heads[0].endswith(f"({logs.keep} rotations)"), heads[0]
        limits = said[said.index(heads[0]) + 1]
        assert f"log files >= {logs.max_size} are rotated earlier" in limits, limits


@ON_HOSTS
@pytest.mark.covers("LG-08")
def test_no_more_is_kept_than_the_inventory_says(host: Any, environment: Environment, written: dict[str, str]) -> None:
    for path in written.values():
        rotated = host.check_output(f"ls -1 -- {shlex.quote(path)}.* 2>/dev/null || true").splitlines()
        numbers = [int(match[1]) for match in (re.search(r"\.log\.(\d+)(\.gz)?$", name) for name in rotated) if match]
        assert max(numbers, default=0) <= environment.common.logs.keep, f"{path}: {', '.join(rotated)}"


@ON_HOSTS
@pytest.mark.covers("LG-10")
def test_releases_hold_no_logs(host: Any, environment: Environment, member: Host) -> None:
    """What a release brought is older than the mark that ends its installation."""
    for service in running_on(environment, member):
        base = f"/opt/{environment.system}/{service.name}/releases"
        release = f"{base}/{environment.releases[service.name].version}"
        found = host.check_output(
            f"find {base} -type f \\( -name '*.log' -o -name '*.log.*' \\) -newer {release}/.artefact"
        )
        assert not found, f"logs below a release: {found}"
