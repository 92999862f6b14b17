"""The files of each service on a host: unit template, environment, and nginx's for the slot that takes requests."""

from __future__ import annotations

from importlib import import_module

from deploys.components.nginx import model as nginx
from deploys.components.service.deployment import Ask, Deployment, env_text
from mainstay import components
from mainstay.files import ManagedFile
from mainstay.inventory import Environment, Host, Service
from mainstay.render import render


def running_on(environment: Environment, member: Host) -> list[Service]:
    """The services with processes that the host runs; one that has no release pinned is not deployed yet."""
    services = environment.services_on(member)
    return [service for service in services if service.kind != "static" and service.name in environment.releases]


def deployment(environment: Environment, member: Host, service: Service, ask: Ask | None = None) -> Deployment:
    """The service as it should run on the host; without `ask`, as far as the inventory tells."""
    base, unit = f"/opt/{environment.system}/{service.name}", f"{environment.system}-{service.name}"
    return Deployment(
        service=service.name,
        version=environment.releases[service.name].version,
        base=base,
        unit=unit,
        user=environment.user_of(service),
        env_path=f"/etc/{environment.system}/{service.name}.env",
        nginx_path=f"/etc/nginx/services/{unit}.conf",
        env=environment.env_vars(service, member),
        unit_text=_unit(environment, service, base, unit),
        nginx={slot: _nginx(environment, member, service, slot) for slot in ("blue", "green")},
        ports={slot: service.ports(slot) for slot in ("blue", "green")},
        port=service.port or 0,  # the model gives every service with processes one
        host_header=environment.api_domain,
        health=[check.model_dump() for check in service.health],
        ready_s=service.ready_timeout_s,
        drain_s=service.drain_s,
        surroundings=_surroundings(environment, member, service, ask),
    )


def _surroundings(environment: Environment, member: Host, service: Service, ask: Ask | None) -> str:
    """What components of the host put beside the service's processes, where new ones must be started for it.

    A component's `files.py` tells it by a function `surroundings(env, host, service, ask) -> str`.
    """
    found = []
    for stem in components.chosen(environment, member):
        own = getattr(import_module(f"deploys.components.{stem}.files"), "surroundings", None)
        found.append(own(environment, member, service, ask) if own is not None else "")
    return "".join(found)


def files(environment: Environment, member: Host) -> list[ManagedFile]:
    """What a first release puts on the host; `slots.deployed` keeps it in order from then on."""
    found = []
    for service in running_on(environment, member):
        wanted = deployment(environment, member, service)
        env = env_text(wanted.env, str)
        found.append(ManagedFile(wanted.env_path, env, group=wanted.user, mode=0o640))
        found.append(ManagedFile(wanted.unit_path, wanted.unit_text))
        found.append(ManagedFile(wanted.nginx_path, wanted.nginx["blue"], mode=0o600))
    return found


def _unit(environment: Environment, service: Service, base: str, unit: str) -> str:
    return render(
        "service/unit.j2",
        description=_literal(service.description),
        kind=service.kind,
        restart=service.restart,
        limits=service.limits,
        user=environment.user_of(service),
        base=base,
        unit=unit,
        env_path=f"/etc/{environment.system}/{service.name}.env",
        command=_command(service, base),
        # Past the time that nginx gives old requests, whatever still runs is cut off.
        stop_s=service.drain_s + 5,
    )


def _command(service: Service, base: str) -> str:
    """ExecStart: a program that is named without a leading slash is the release's own."""
    mark = "\0port\0"
    command = _literal(service.command(mark)).replace(mark, "%i")
    return command if command.startswith("/") else f"{base}/instances/%i/{command}"


def _literal(text: str) -> str:
    """Text in which systemd finds no specifiers."""
    return text.replace("%", "%%")


def _nginx(environment: Environment, member: Host, service: Service, slot: str) -> str:
    unit = f"{environment.system}-{service.name}"
    return render(
        "service/nginx.conf.j2",
        service=service.name,
        slot=slot,
        unit=unit,
        upstream=f"{unit}-local",
        ports=service.ports("blue" if slot == "blue" else "green"),
        port=service.port,
        address=nginx.listen_address(member),
        profiles=nginx.profiles(service),
        passed_on=nginx.PASSED_ON,
        keepalive=nginx.section(environment).upstream_keepalive,
    )
