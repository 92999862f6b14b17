"""Services as they run: each instance by itself, then through nginx, with the declared ports, settings and rights."""

from __future__ import annotations

import hashlib
import hmac
import json
import re
import shlex
from dataclasses import dataclass
from typing import Any

import pytest

from deploys.components.service.deployment import Deployment
from deploys.components.service.files import deployment, running_on
from facts.service import Slots, parse_slots
from facts.units import UnitState, UnitStates, parse_units
from mainstay.errors import SecretError
from mainstay.inventory import Environment, Host

ON_HOSTS = pytest.mark.roles("app", "ml")
MAX_EXPOSURE = 3.0
# Of a process's own variables: what is in its file may have been put there since it started.
_DIGESTS = """
import hashlib, hmac, sys
pid, salt, *names = sys.argv[1:]
held = dict(one.split(b"=", 1) for one in open(f"/proc/{pid}/environ", "rb").read().split(b"\\0") if b"=" in one)
for name in names:
    print(name, hmac.new(salt.encode(), held.get(name.encode(), b""), hashlib.sha256).hexdigest())
"""


@dataclass(frozen=True)
class Serving:
    """A service on this host, and the slot that nginx sends requests to."""

    wanted: Deployment
    slot: str

    @property
    def ports(self) -> list[int]:
        """The instances' ports."""
        return list(self.wanted.ports[self.slot])

    @property
    def units(self) -> list[str]:
        """The instances' units."""
        return [self.wanted.name_of(port) for port in self.ports]


@pytest.fixture(scope="module")
def serving(host: Any, environment: Environment, member: Host) -> list[Serving]:
    """Every service with processes that is deployed here."""
    found = []
    for service in running_on(environment, member):
        wanted = deployment(environment, member, service)
        command = Slots().command(wanted.base, wanted.unit, wanted.nginx_path)
        state = parse_slots(host.check_output(command).splitlines())
        assert state.active, f"{service.name}: {wanted.nginx_path} names no slot"
        found.append(Serving(wanted, state.active))
    return found


@pytest.fixture(scope="module")
def units(host: Any, serving: list[Serving]) -> dict[str, UnitState]:
    """Every instance that ought to run, as systemd has it."""
    names = [unit for one in serving for unit in one.units]
    return parse_units(host.check_output(UnitStates().command(names)).splitlines()) if names else {}


@pytest.fixture(scope="module")
def listening(host: Any) -> dict[int, set[str]]:
    """Local addresses of all TCP listeners, by port."""
    found: dict[int, set[str]] = {}
    for line in host.check_output("ss -Hltn").splitlines():
        address, _, port = line.split()[3].rpartition(":")
        found.setdefault(int(port), set()).add(address.strip("[]"))
    return found


@ON_HOSTS
@pytest.mark.covers("DP-36", "HC-03")
def test_instances_run_and_start_at_boot(serving: list[Serving], units: dict[str, UnitState]) -> None:
    for name in (unit for one in serving for unit in one.units):
        state = units.get(name)
        assert state is not None, f"{name}: systemd does not know it"
        assert (state.active, state.sub) == ("active", "running"), f"{name} is {state.active} ({state.sub})"
        assert state.enabled == "enabled", f"{name} does not start at boot"


@ON_HOSTS
def test_instances_do_not_restart(units: dict[str, UnitState]) -> None:
    for name, state in units.items():
        assert state.restarts == 0, f"{name} was restarted {state.restarts} times by systemd"


@ON_HOSTS
@pytest.mark.covers("SC-09")
def test_limits_of_each_instance_are_the_inventory_s(
    host: Any, environment: Environment, serving: list[Serving]
) -> None:
    """As systemd has them; whether the kernel keeps them depends on the machine."""
    for one in serving:
        limits = environment.services[one.wanted.service].limits
        assert limits is not None
        wanted = {"MemoryMax": limits.memory_max, "MemoryLow": limits.memory_low, "CPUWeight": limits.cpu_weight}
        told = {name: str(value) for name, value in wanted.items() if value is not None}
        if limits.cpu_quota_pct:
            told["CPUQuotaPerSecUSec"] = str(limits.cpu_quota_pct)
        for unit in one.units:
            lines = host.check_output(f"systemctl show -p {','.join(told)} {shlex.quote(unit)}").splitlines()
            found = dict(line.split("=", 1) for line in lines)
            if "CPUQuotaPerSecUSec" in found:
                found["CPUQuotaPerSecUSec"] = str(_percent(found["CPUQuotaPerSecUSec"]))
            assert found == told, f"{unit}: {found}, expected {told}"


@ON_HOSTS
@pytest.mark.covers("DP-35", "DF-58", "DF-90")
def test_listens_on_exactly_the_declared_ports(
    serving: list[Serving], listening: dict[int, set[str]], member: Host
) -> None:
    for one in serving:
        expected = {port: {"127.0.0.1"} for port in one.ports}
        expected[one.wanted.port] = {"127.0.0.1", member.address}
        idle = [port for slot in ("blue", "green") if slot != one.slot for port in one.wanted.ports[slot]]
        for port in [*expected, *idle]:
            found = listening.get(port, set())
            wanted = expected.get(port, set())
            assert found == wanted, f"port {port}: listens on {sorted(found) or 'nothing'}, expected {sorted(wanted)}"


@ON_HOSTS
@pytest.mark.covers("HC-01", "HC-06", "DF-57", "EV-03")
def test_each_instance_is_healthy(host: Any, serving: list[Serving]) -> None:
    for one in serving:
        for port in one.ports:
            assert_healthy(host, one.wanted, port)


@ON_HOSTS
@pytest.mark.covers("HC-06")
def test_healthy_through_nginx_on_the_canonical_port(host: Any, serving: list[Serving]) -> None:
    for one in serving:
        assert_healthy(host, one.wanted, one.wanted.port)


def assert_healthy(host: Any, wanted: Deployment, port: int) -> None:
    """Every health check of the service on one port, answers compared as JSON (CX-24)."""
    for check in wanted.health:
        url = shlex.quote(f"http://127.0.0.1:{port}{check['path']}")
        limit = f"--max-time {check['timeout_s']:g} -H {shlex.quote('Host: ' + wanted.host_header)}"
        said = host.run(f"curl -sS {limit} -w '\\n%{{http_code}}' {url}")
        body, _, status = said.stdout.rpartition("\n")
        assert status == str(check["expect_status"]), f"{url} answers {status or 'nothing'}: {said.stderr.strip()}"
        if check["expect_json"]:
            found = json.loads(body)
            wrong = {key: found.get(key) for key, value in check["expect_json"].items() if found.get(key) != value}
            assert not wrong, f"{url} says {wrong}, expected {check['expect_json']}"


@ON_HOSTS
@pytest.mark.covers("DF-59")
def test_processes_run_the_pinned_release(host: Any, serving: list[Serving], units: dict[str, UnitState]) -> None:
    for one in serving:
        for name in one.units:
            found = host.check_output(f"readlink /proc/{units[name].main_pid}/cwd")
            expected = f"{one.wanted.base}/releases/{one.wanted.version}/app"
            assert found == expected, f"{name} runs in {found}, expected {expected}"


@ON_HOSTS
@pytest.mark.covers("EV-07", "DP-37", "RD-13")
def test_processes_have_the_declared_environment(
    host: Any, serving: list[Serving], units: dict[str, UnitState], environment: Environment
) -> None:
    for one in serving:
        plain = {k: v for k, v in one.wanted.env.items() if not environment.secrets.placeholders(v)}
        for name in one.units:
            said = host.check_output(f"tr '\\0' '\\n' < /proc/{units[name].main_pid}/environ")
            found = dict(line.split("=", 1) for line in said.splitlines() if "=" in line)
            wrong = sorted(key for key, value in plain.items() if found.get(key) != value)
            assert not wrong, f"{name}: {', '.join(wrong)} differ from the inventory"
            missing = sorted(one.wanted.env.keys() - found.keys())
            assert not missing, f"{name}: {', '.join(missing)} are not set"


@ON_HOSTS
@pytest.mark.covers("EV-13")
def test_processes_hold_the_secrets_of_the_store(
    host: Any, serving: list[Serving], units: dict[str, UnitState], environment: Environment
) -> None:
    """Of all instances on all hosts: one takes what another signed. Salted digests meet, and no value travels."""
    salt = f"{environment.name} of verifications"
    for one in serving:
        secret = {k: v for k, v in one.wanted.env.items() if environment.secrets.placeholders(v)}
        try:
            wanted = {key: _digest(salt, environment.secrets.resolve(value)) for key, value in secret.items()}
        except SecretError as error:
            pytest.skip(f"the store cannot be opened: {error}")
        for name in one.units:
            words = shlex.join(["python3", "-c", _DIGESTS, str(units[name].main_pid), salt, *sorted(wanted)])
            found = dict(line.split() for line in host.check_output(words).splitlines())
            wrong = sorted(key for key, value in wanted.items() if found.get(key) != value)
            assert not wrong, f"{name}: {', '.join(wrong)} are not what the store holds"


@ON_HOSTS
def test_processes_leave_no_core_dumps(host: Any, serving: list[Serving], units: dict[str, UnitState]) -> None:
    for one in serving:
        for name in one.units:
            said = host.check_output(f"grep '^Max core file size' /proc/{units[name].main_pid}/limits")
            assert said.split()[-3:] == ["0", "0", "bytes"], f"{name}: {said}, expected 0: a dump holds its secrets"


@ON_HOSTS
@pytest.mark.covers("DF-83")
def test_profiles_are_kept_from_the_network(host: Any, environment: Environment, serving: list[Serving]) -> None:
    for one in serving:
        service = environment.services[one.wanted.service]
        for path in {*service.profile.values(), *(["/debug/pprof/"] if service.kind == "go" else [])}:
            url = shlex.quote(f"http://127.0.0.1:{one.wanted.port}{path}")
            found = host.check_output(f"curl -sS -o /dev/null -w '%{{http_code}}' {url}")
            assert found == "404", f"{url} answers {found}, expected 404: profiles are for the instance's own port"


@ON_HOSTS
@pytest.mark.covers("DF-58")
def test_processes_are_the_service_s_own_user_s(host: Any, serving: list[Serving], units: dict[str, UnitState]) -> None:
    for one in serving:
        for name in one.units:
            found = host.check_output(f"stat -c %U /proc/{units[name].main_pid}")
            assert found == one.wanted.user, f"{name} runs as {found}, expected {one.wanted.user}"


@ON_HOSTS
@pytest.mark.covers("DP-37")
def test_environment_file_is_for_root_and_the_service_only(host: Any, serving: list[Serving]) -> None:
    for one in serving:
        file = host.file(one.wanted.env_path)
        assert file.exists, f"{one.wanted.env_path} is missing"
        found = f"{file.user}:{file.group} {file.mode:o}"
        assert found == f"root:{one.wanted.user} 640", f"{one.wanted.env_path} is {found}"


@ON_HOSTS
@pytest.mark.covers("DF-58")
def test_units_are_confined(host: Any, serving: list[Serving]) -> None:
    said = host.run(f"systemd-analyze security --no-pager {shlex.join(one.units[0] for one in serving)}").stdout
    levels = dict(re.findall(r"exposure level for (\S+): ([0-9.]+)", said))
    for unit in [one.units[0] for one in serving]:
        assert unit in levels, f"{unit}: systemd-analyze measures nothing"
        assert float(levels[unit]) <= MAX_EXPOSURE, f"{unit}: exposure is {levels[unit]}, at most {MAX_EXPOSURE}"


@ON_HOSTS
@pytest.mark.covers("DP-35")
def test_units_are_what_systemd_accepts(host: Any, serving: list[Serving]) -> None:
    said = host.run(f"systemd-analyze verify --man=no {shlex.join(one.units[0] for one in serving)} 2>&1").stdout
    own = [line for line in said.splitlines() if any(one.wanted.unit in line for one in serving)]
    assert not own, own[0]


def _digest(salt: str, value: str) -> str:
    return hmac.new(salt.encode(), value.encode(), hashlib.sha256).hexdigest()


def _percent(span: str) -> int:
    """What systemd writes as `1s 500ms` of each second, in percent of one processor."""
    units = {"min": 60.0, "s": 1.0, "ms": 0.001, "us": 0.000001}
    parts = re.findall(r"([0-9.]+)(min|ms|us|s)", span)
    return round(100 * sum(float(number) * units[unit] for number, unit in parts))
