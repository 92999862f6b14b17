"""The `base` section: what every host has, whatever its roles."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from mainstay.inventory import ByteSize, Domain, Duration, Environment, Network, Problem, StrictModel, per_env

ROLES = frozenset({"*"})


class Sshd(StrictModel):
    """Who may reach sshd, and how long a silent session lives."""

    allow_from: list[Network] = per_env(default_factory=list, description="networks that may connect; empty: all")
    max_auth_tries: int = Field(4, ge=1, le=10)
    client_alive: Duration = Field("60s", validate_default=True, description="a dead session ends after three of these")


class Chrony(StrictModel):
    """Where the time comes from (EV-14: tokens fail when clocks drift)."""

    pools: list[Domain] = per_env(default_factory=lambda: ["2.debian.pool.ntp.org"], min_length=1)
    max_offset_s: float = Field(1.0, gt=0, le=60, description="above this the clock counts as wrong")


class Journald(StrictModel):
    """How much of the log a host keeps."""

    max_use: ByteSize = per_env("500M", validate_default=True)
    max_retention: Duration = Field("30d", validate_default=True)


class Upgrades(StrictModel):
    """Unattended upgrades: Debian's security updates, day by day."""

    enabled: bool = True
    reboot: bool = Field(False, description="whether a host may reboot by itself")
    reboot_utc: str = Field("03:30", pattern=r"^([01]\d|2[0-3]):[0-5]\d$")


class Section(StrictModel):
    """Accounts come from `operators`, firewall openings from what listens on the host."""

    sudo: Literal["nopasswd"] = Field("nopasswd", description="operators have keys and no passwords to ask for")
    sshd: Sshd = Field(default_factory=Sshd)
    chrony: Chrony = Field(default_factory=Chrony)
    journald: Journald = Field(default_factory=Journald)
    upgrades: Upgrades = Field(default_factory=Upgrades)


# The accounts of a Debian image and of the components that may come: none of them is a person.
_RESERVED = """
    root daemon bin sys sync games man lp mail news uucp proxy www-data backup list irc gnats _apt nobody messagebus
    sshd polkitd postgres redis nginx _chrony prometheus admin operator operators sudo adm
"""


def section(env: Environment) -> Section:
    """The environment's own section."""
    found = env.section("base")
    assert isinstance(found, Section)  # noqa: S101
    return found


def check(env: Environment) -> list[Problem]:
    """A named operator must not be an account that the system, the image or a service already has."""
    taken = {*_RESERVED.split(), env.bootstrap_user, *(env.user_of(service) for service in env.services.values())}
    return [
        env.problem(("operators", name), "an account of the system", "a person's own name")
        for name in env.operators
        if name in taken or name.startswith("systemd-")
    ]
