"""What a service is: where it runs, on which ports, how many instances, how it is started and proves its health."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, Field, PrivateAttr, model_validator
from pydantic_core import PydanticCustomError

from mainstay.inventory.envvars import EnvVar, VariableName
from mainstay.inventory.fields import ByteSize, Identifier, Line, Name, Port, StrictModel, UrlPath, per_env

Role = Literal["web", "app", "db", "db_replica", "cache", "scylla", "ml", "monitoring"]
Slot = Literal["blue", "green"]
COMMAND_FIELDS = ("port", "workers", "entry")


def _command(value: str) -> str:
    """An ExecStart whose braces are ours: a typing error there would otherwise fail on the host, at start."""
    try:
        value.format(**dict.fromkeys(COMMAND_FIELDS, "1"))
    except (KeyError, IndexError, ValueError, AttributeError):
        raise ValueError("a command with no placeholder but {port}, {workers} and {entry}") from None
    if "{port}" not in value:
        raise ValueError("a command that passes {port} to the program")
    return value


class Instances(StrictModel):
    """How many instances of the service run on each host of its role."""

    base: int = per_env(1, ge=1, le=64, description="instances on each host of the role")
    min: int = per_env(1, ge=1, le=64, description="scaling down stops here")
    max: int = per_env(1, ge=1, le=64, description="scaling up stops here")


class Slots(StrictModel):
    """The first port of each of the two sets that a service's releases take in turn."""

    blue: Port
    green: Port


class Limits(StrictModel):
    """What systemd lets one instance use."""

    memory_max: ByteSize = per_env(description="MemoryMax of one instance")
    cpu_quota_pct: int | None = per_env(None, ge=1, le=25600, description="CPUQuota of one instance; 100 is one core")
    memory_low: ByteSize | None = per_env(None, description="MemoryLow: others give memory back before it does (SC-09)")
    cpu_weight: int | None = per_env(
        None, ge=1, le=10000, description="CPUWeight where processors are short; 100 is all"
    )


class Restart(StrictModel):
    """When systemd starts a failed instance again (DF-58: without a limit and a pause it storms)."""

    policy: Literal["on-failure", "always", "no"] = "on-failure"
    sec: int = Field(5, ge=1, le=300, description="RestartSec, in seconds")
    burst: int = Field(5, ge=1, le=100, description="StartLimitBurst: starts within interval_s before systemd gives up")
    interval_s: int = Field(300, ge=10, le=86400, description="StartLimitIntervalSec, in seconds")


class HealthCheck(StrictModel):
    """One question to an instance, and the answer that proves it."""

    path: UrlPath
    expect_status: int = Field(200, ge=100, le=599)
    expect_json: dict[str, Any] = Field(default_factory=dict, description="keys and values that the answer holds")
    timeout_s: float = Field(5.0, gt=0, le=300)


class Service(StrictModel):
    """A program that the system runs on every host of one role."""

    kind: Literal["python", "go", "node", "static"]
    description: Line = "a service"
    role: Role = "app"
    user: Identifier | None = Field(None, description="runs as this user; by default <system>-<service>")
    port: Port | None = Field(None, description="canonical port: the app host's nginx listens there")
    slots: Slots | None = None
    step: int = Field(1, ge=1, le=1000, description="distance between the ports of two instances of one slot")
    instances: Instances = Field(default_factory=Instances)
    workers: int = per_env(1, ge=1, le=256, description="worker processes of one instance")
    pool: int = per_env(0, ge=0, le=10000, description="database connections that one worker opens at most")
    pool_variable: VariableName | None = Field(
        None, description="by which the program is told its pool; the same number"
    )
    exec: Annotated[Line, AfterValidator(_command)] | None = Field(None, description="the command, from the release")
    entry: Line | None = Field(None, description="what {entry} in exec stands for, such as main:app")
    limits: Limits | None = None
    restart: Restart = Field(default_factory=Restart)
    health: list[HealthCheck] = Field(default_factory=list, description="the first one decides readiness")
    profile: dict[Identifier, UrlPath] = Field(
        default_factory=dict, description="the program's own profiles, on an instance's loopback port (DF-83)"
    )
    ready_timeout_s: int = Field(
        60, ge=1, le=3600, description="a new instance is healthy by then, or the release failed"
    )
    drain_s: int = Field(30, ge=0, le=3600, description="old instances finish their requests within this time")
    keep_releases: int = Field(3, ge=2, le=50, description="releases kept on a host, the current one among them")
    env_vars: dict[VariableName, EnvVar] = Field(default_factory=dict)

    _name: str = PrivateAttr("")

    @property
    def name(self) -> str:
        """The service's key under `services`."""
        return self._name

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if self.kind == "static":
            given = [key for key in ("port", "slots", "exec", "limits") if getattr(self, key) is not None]
            if given or self.health:
                keys = ", ".join([*given, *(["health"] if self.health else [])])
                raise _wrong(
                    keys, "a static service to have none of port, slots, exec, limits and health: nginx serves it"
                )
            return self
        absent = [key for key in ("port", "slots", "exec", "limits") if getattr(self, key) is None]
        if absent:
            raise _wrong(f"no {', '.join(absent)}", f"a {self.kind} service to have port, slots, exec and limits")
        if not self.health:
            raise _wrong("no health check", "at least one: a release proves itself by it")
        return self

    def ports(self, slot: Slot) -> list[int]:
        """The loopback ports of the slot's instances at the declared count; none for a static service."""
        return self.ports_of(slot, self.instances.base)

    def ports_of(self, slot: Slot, count: int) -> list[int]:
        """The slot's ports for `count` instances."""
        if self.slots is None:
            return []
        first = self.slots.blue if slot == "blue" else self.slots.green
        return [first + index * self.step for index in range(count)]

    @property
    def peak_instances(self) -> int:
        """The most instances on one host: while a release switches, the declared ones run in both slots."""
        return max(self.instances.max, 2 * self.instances.base)

    def is_told(self, role: str) -> bool:
        """Whether a variable tells it where hosts of the role are."""
        return any(rule.address_of == role for rule in self.env_vars.values())

    def command(self, port: int | str) -> str:
        """The command line for an instance on `port` (systemd's `%i` too)."""
        return (self.exec or "").format(port=port, workers=self.workers, entry=self.entry or "")


def _wrong(found: str, expected: str) -> PydanticCustomError:
    return PydanticCustomError("found_expected", "{expected}", {"found": found, "expected": expected})


Services = dict[Name, Service]
