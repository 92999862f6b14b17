"""The description of a system: YAML files, read strictly, checked against the model and against themselves."""

from mainstay.errors import Problem
from mainstay.inventory.budget import Demand, demands
from mainstay.inventory.environment import Environment, Host
from mainstay.inventory.fields import (
    Address,
    ByteSize,
    Domain,
    Duration,
    Identifier,
    Line,
    Name,
    Network,
    Percent,
    Port,
    Scalar,
    SecretName,
    StrictModel,
    UrlPath,
    per_env,
)
from mainstay.inventory.listeners import Listener
from mainstay.inventory.loading import ENVIRONMENTS, load
from mainstay.inventory.memory import MemoryShare
from mainstay.inventory.releases import Artefact, Release
from mainstay.inventory.services import HealthCheck, Role, Service
from mainstay.inventory.stores import lab_from_environment
from mainstay.inventory.system import Operator

__all__ = [
    "ENVIRONMENTS",
    "Address",
    "Artefact",
    "ByteSize",
    "Demand",
    "Domain",
    "Duration",
    "Environment",
    "HealthCheck",
    "Host",
    "Identifier",
    "Line",
    "Listener",
    "MemoryShare",
    "Name",
    "Network",
    "Operator",
    "Percent",
    "Port",
    "Problem",
    "Release",
    "Role",
    "Scalar",
    "SecretName",
    "Service",
    "StrictModel",
    "UrlPath",
    "demands",
    "lab_from_environment",
    "load",
    "per_env",
]
