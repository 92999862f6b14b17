"""Hosts that compute: their GPUs, the model that their service loads, and what each instance has to itself."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from deploys.components.ml.files import Given, given
from deploys.components.ml.model import Section, gpu_of, model_path, section, service_of
from deploys.components.release.files import base_of
from deploys.components.service.deployment import Deployment
from deploys.components.service.files import deployment
from deploys.operations.gpus import is_unproven, missing
from facts.distributions import Distributions, parse_installed
from facts.ml import GpuInfo, Gpus, parse_gpus
from facts.service import Slots, parse_slots
from mainstay.inventory import Environment, Host, Service

ON_ML = pytest.mark.roles("ml")
_OPENED = re.compile(r"^DeviceAllow=(/dev/nvidia\d+) ", re.MULTILINE)
_PINNED = re.compile(r"^[A-Za-z0-9][^#\\\n]*==[^#\\\n]*", re.MULTILINE)


@pytest.fixture(scope="module")
def own(environment: Environment) -> Section:
    """The section."""
    return section(environment)


@pytest.fixture(scope="module")
def service(environment: Environment) -> Service:
    """The service that computes."""
    return service_of(environment)


@pytest.fixture(scope="module")
def wanted(environment: Environment, member: Host, service: Service) -> Deployment | None:
    """The service as it should run here; None where no release of it is pinned."""
    return deployment(environment, member, service) if service.name in environment.releases else None


@pytest.fixture(scope="module")
def ports(host: Any, wanted: Deployment | None) -> list[int]:
    """The instances that take requests."""
    if wanted is None:
        return []
    command = Slots().command(wanted.base, wanted.unit, wanted.nginx_path)
    state = parse_slots(host.check_output(command).splitlines())
    assert state.active, f"{wanted.nginx_path} names no slot"
    return list(wanted.ports[state.active])


@pytest.fixture(scope="module")
def gpus(host: Any, own: Section) -> Gpus:
    """The host's GPUs; none where nothing is computed on one."""
    return parse_gpus(host.run(GpuInfo().command()).stdout.splitlines()) if own.gpu.required else Gpus()


@pytest.fixture(scope="module")
def belonging(own: Section, service: Service, gpus: Gpus, ports: list[int]) -> dict[int, Given]:
    """The GPU of each of those instances."""
    return {port: given(gpus, gpu_of(service, port)) for port in ports} if own.gpu.required else {}


def environ(host: Any, wanted: Deployment, port: int) -> dict[str, str]:
    """The variables of the instance's process."""
    pid = host.check_output(f"systemctl show -p MainPID --value {shlex.quote(wanted.name_of(port))}")
    said = host.check_output(f"tr '\\0' '\\n' < /proc/{int(pid)}/environ")
    return dict(line.split("=", 1) for line in said.splitlines() if "=" in line)


@ON_ML
@pytest.mark.covers("ML-01")
def test_the_gpus_are_there(
    environment: Environment, own: Section, member: Host, gpus: Gpus, record_property: Callable[[str, object], None]
) -> None:
    if not own.gpu.required:
        return
    if is_unproven(environment, gpus):
        record_property("note", "this lab has no GPU, so none was looked for")
        return
    fault = missing(gpus, member.gpus)
    assert not fault, fault
    nameless = [gpu.index for gpu in gpus.found if not gpu.driver or gpu.total_mib is None]
    assert not nameless, f"GPU {nameless[0]}: nvidia-smi does not tell its driver or memory"


@ON_ML
@pytest.mark.covers("ML-02")
def test_the_model_is_the_pinned_one(
    host: Any, environment: Environment, own: Section, wanted: Deployment | None
) -> None:
    if own.model is None or wanted is None:
        return
    path = model_path(environment)
    said = host.run(f"stat -L -c '%U:%G %a' {shlex.quote(path)} && sha256sum < {shlex.quote(path)}")
    assert said.rc == 0, f"{path} is missing"
    owner, digest = said.stdout.splitlines()
    assert digest.split()[0] == own.model.sha256, f"{path}: SHA-256 is {digest[:12]}, expected {own.model.sha256[:12]}"
    assert owner == "root:root 644", f"{path} is {owner}"


@ON_ML
@pytest.mark.covers("ML-06")
def test_each_instance_has_a_gpu_to_itself(
    host: Any, wanted: Deployment | None, ports: list[int], belonging: dict[int, Given]
) -> None:
    for port in ports:
        assert wanted is not None
        found = environ(host, wanted, port).get("CUDA_VISIBLE_DEVICES")
        expected = belonging[port].uuid if port in belonging else None
        assert found == expected, f"port {port}: has GPU {found!r}, expected {expected!r}"


@ON_ML
@pytest.mark.covers("ML-06")
def test_each_instance_may_open_its_gpu_alone(
    host: Any, wanted: Deployment | None, belonging: dict[int, Given]
) -> None:
    for port, (_, device) in belonging.items():
        assert wanted is not None
        said = host.check_output(f"systemctl show -p DevicePolicy -p DeviceAllow {shlex.quote(wanted.name_of(port))}")
        assert "DevicePolicy=closed" in said.splitlines(), f"port {port}: may open any device"
        found, expected = ", ".join(_OPENED.findall(said)) or "none", device or "none"
        assert found == expected, f"port {port}: may open {found}, expected {expected}"


@ON_ML
@pytest.mark.covers("ML-02")
def test_each_instance_was_started_on_the_pinned_model(
    host: Any, environment: Environment, own: Section, wanted: Deployment | None, ports: list[int]
) -> None:
    for port in ports if own.model else []:
        assert wanted is not None and own.model is not None
        found = environ(host, wanted, port)
        expected = {"MODEL_PATH": model_path(environment), "MODEL_SHA256": own.model.sha256}
        wrong = [name for name, value in expected.items() if found.get(name) != value]
        assert not wrong, f"port {port}: {wrong[0]} is {found.get(wrong[0])}"


@ON_ML
@pytest.mark.covers("ML-03", "DF-41")
def test_health_is_asked_by_get_alone(host: Any, service: Service, wanted: Deployment | None, ports: list[int]) -> None:
    for port in [*ports, *([service.port] if ports else [])]:
        for check in service.health:
            url = shlex.quote(f"http://127.0.0.1:{port}{check.path}")
            status = host.check_output(f"curl -s -o /dev/null -w '%{{http_code}}' --max-time 10 {url}")
            assert status == str(check.expect_status), f"GET {url} answers {status}"
    if wanted is not None:
        asks = re.findall(r'\.request\(\s*"(\w+)"', host.check_output("cat /usr/local/lib/mainstay/probe"))
        assert set(asks) == {"GET"}, f"the probe asks by {', '.join(asks) or 'no method that is known'}"


def locked(text: str, markers: dict[str, str]) -> dict[str, str]:
    """The versions that a lock wants where these markers (PEP 508) hold, by name."""
    found = [Requirement(line.partition(" --hash")[0].strip()) for line in _PINNED.findall(text)]
    mine = [one for one in found if one.marker is None or one.marker.evaluate(markers)]
    return {canonicalize_name(one.name): next(iter(one.specifier)).version for one in mine}


@ON_ML
@pytest.mark.covers("ML-04")
def test_packages_are_those_of_the_lock(
    host: Any, environment: Environment, service: Service, wanted: Deployment | None
) -> None:
    if wanted is None or service.kind != "python":
        return
    release = f"{base_of(environment, service)}/releases/{wanted.version}"
    lock = host.check_output(f"cat {shlex.quote(release)}/requirements.txt")
    said = parse_installed(host.run(Distributions().command(f"{release}/venv/bin/python")).stdout.splitlines())
    pinned, installed = locked(lock, said.markers), said.versions
    assert pinned, f"{release}/requirements.txt pins nothing"
    drift = sorted(name for name in {*pinned, *installed} if pinned.get(name) != installed.get(name))
    for name in drift[:1]:
        has, should = installed.get(name, "not installed"), pinned.get(name, "none")
        raise AssertionError(f"{service.name}: {name} is {has}, the lock has {should}")


@ON_ML
@pytest.mark.covers("ML-06")
def test_instances_listen_on_loopback_only(host: Any, ports: list[int]) -> None:
    for port in ports:
        said = host.check_output(f"ss -Hltn 'sport = :{port}'").splitlines()
        found = sorted({line.split()[3].rpartition(":")[0] for line in said})
        assert found == ["127.0.0.1"], f"port {port} listens on {', '.join(found) or 'nothing'}"


@pytest.mark.roles("db", "cache")
@pytest.mark.covers("ML-06")
def test_the_service_cannot_be_reached_from_here(
    host: Any, environment: Environment, member: Host, service: Service
) -> None:
    for other in environment.hosts_of("ml"):
        openers = [one for one in environment.listeners(other) if one.port == service.port]
        if other.name == member.name or any(set(one.from_roles) & set(member.roles) for one in openers):
            continue
        for port in (service.port, *service.ports("blue"), *service.ports("green")):
            said = host.run(f"timeout 2 bash -c '</dev/tcp/{other.address}/{port}'")
            assert said.rc != 0, f"port {port} of {other.name} can be reached"
