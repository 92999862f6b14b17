"""The `scylla` section: where its packages come from, the cluster, its keyspaces and who may use them."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, model_validator
from pydantic_core import PydanticCustomError

from mainstay.inventory import (
    Duration,
    Environment,
    Identifier,
    Line,
    Port,
    SecretName,
    StrictModel,
    per_env,
)
from mainstay.inventory.fields import HostName, matching

ROLES = frozenset({"scylla"})
UNIT = "scylla-server.service"
REPAIR_UNIT = "mainstay-scylla-repair"
ADMIN = "mainstay"
"""The superuser that takes the place of `cassandra`."""
GC_GRACE_S = 10 * 86400
"""Scylla's own: what was deleted may come back where nobody repairs for longer (DF-06)."""

Place = Annotated[str, AfterValidator(matching(r"[A-Za-z][A-Za-z0-9_]{0,47}", "a name such as dc1 or rack1"))]
Version = Annotated[
    str,
    AfterValidator(
        matching(r"(6\.[1-9][0-9]*|20[2-9][0-9]\.[0-9]+)\.[0-9]+", "a whole version from 6.1.0 on, such as 6.2.3")
    ),
]
SourceUrl = Annotated[str, AfterValidator(matching(r"https://[a-z0-9.-]+(/[A-Za-z0-9._~/-]*)?", "an https URL"))]
Word = Annotated[str, AfterValidator(matching(r"[A-Za-z0-9][A-Za-z0-9._/-]*", "one word"))]
KeyFile = Annotated[
    str, AfterValidator(matching(r"[A-Za-z0-9][A-Za-z0-9._-]*\.asc", "the name of a file *.asc beside system.yaml"))
]
Fingerprint = Annotated[str, AfterValidator(matching(r"[0-9A-F]{40}", "40 hexadecimal digits in capitals, no spaces"))]
HostId = Annotated[str, AfterValidator(matching(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", "a host id (a UUID)"))]
Clock = Annotated[str, AfterValidator(matching(r"([01]\d|2[0-3]):[0-5]\d", "a time such as 04:00"))]
Permission = Literal["SELECT", "MODIFY", "CREATE", "ALTER", "DROP"]
Strategy = Literal[
    "SizeTieredCompactionStrategy",
    "LeveledCompactionStrategy",
    "TimeWindowCompactionStrategy",
    "IncrementalCompactionStrategy",
]

_TIERED = {"bucket_low", "bucket_high", "min_threshold", "max_threshold"}
_OPTIONS: dict[str, set[str]] = {
    "SizeTieredCompactionStrategy": _TIERED,
    "IncrementalCompactionStrategy": _TIERED,
    "LeveledCompactionStrategy": {"sstable_size_in_mb"},
    "TimeWindowCompactionStrategy": {"compaction_window_unit", "compaction_window_size"},
}


class Source(StrictModel):
    """An apt source with the one key that may sign it."""

    uri: SourceUrl
    suite: Word
    components: list[Word] = Field(min_length=1)
    key: KeyFile = Field(description="the public key, ASCII-armoured")
    fingerprint: Fingerprint = Field(description="of that key; another key is refused")


class Compaction(StrictModel):
    """How a table's files are merged."""

    class_: Strategy = Field(alias="class")
    bucket_low: float | None = Field(None, gt=0, description="files from this share of the average on belong together")
    bucket_high: float | None = Field(None, gt=0)
    min_threshold: int | None = Field(None, ge=2, le=64)
    max_threshold: int | None = Field(None, ge=2, le=128)
    sstable_size_in_mb: int | None = Field(None, ge=1, le=10240)
    compaction_window_unit: Literal["MINUTES", "HOURS", "DAYS"] | None = None
    compaction_window_size: int | None = Field(None, ge=1, le=1000)

    @property
    def options(self) -> dict[str, str]:
        """What CQL calls the map's other entries, as text."""
        given = self.model_dump(exclude={"class_"}, exclude_none=True)
        return {name: str(value) for name, value in given.items()}

    @model_validator(mode="after")
    def _fits(self) -> Self:
        strange = sorted(set(self.options) - _OPTIONS[self.class_])
        if strange:
            known = ", ".join(sorted(_OPTIONS[self.class_]))
            raise _wrong(", ".join(strange), f"options of {self.class_}: {known}")
        low, high = self.bucket_low or 0.5, self.bucket_high or 1.5
        if low >= high:
            raise _wrong(f"bucket_low {low:g}, bucket_high {high:g}", "bucket_low < bucket_high")
        return self


class Table(StrictModel):
    """What is set for a table that a service makes."""

    compaction: Compaction


class Keyspace(StrictModel):
    """One keyspace, always by NetworkTopologyStrategy (DF-82)."""

    replicas: dict[Place, Annotated[int, Field(ge=1, le=9)]] = per_env(
        min_length=1, description="copies in each datacentre, no more than it has nodes"
    )
    durable_writes: bool = True
    tables: dict[Identifier, Table] = Field(default_factory=dict)


class Role(StrictModel):
    """Who logs in, and what for."""

    password: SecretName
    keyspaces: dict[Identifier, list[Permission]] = Field(min_length=1)


class NodePlace(StrictModel):
    """Where a node stands."""

    datacenter: Place
    rack: Place


class Repair(StrictModel):
    """Every node repairs what it is first for, once a week, one node after the other (DF-06)."""

    start_utc: Clock = Field("04:00", description="of the first node, on Monday; the others follow over the week")


class Section(StrictModel):
    """The cluster."""

    source: Source | None = Field(None, description="where its packages come from: no release of Debian has them")
    version: Version = Field(description="of the packages; no other is installed")
    cluster_name: Line
    datacenter: Place = "dc1"
    rack: Place = "rack1"
    places: dict[HostName, NodePlace] = per_env(default_factory=dict, description="of nodes that stand elsewhere")
    seeds: list[HostName] = per_env(default_factory=list, description="whom a new node asks; by default the first node")
    replaces: dict[HostName, HostId] = per_env(
        default_factory=dict, description="a node that takes the place of a dead one, by that one's host id"
    )
    cql_port: Port = 9042
    node_port: Port = 7000
    api_port: Port = 10000
    metrics_port: Port = 9180
    admin_password: SecretName = Field("SCYLLA_ADMIN_PASSWORD", description=f"of the superuser {ADMIN}")
    keyspaces: dict[Identifier, Keyspace] = Field(default_factory=dict)
    roles: dict[Identifier, Role] = Field(default_factory=dict)
    repair: Repair = Field(default_factory=Repair)
    keep_snapshots: Duration = Field(
        "7d", validate_default=True, ge=86400, description="older ones are removed with each repair (DF-05)"
    )
    developer_mode: bool = per_env(False, description="starts on any disk and any machine; never with data that counts")
    allow_restart: bool = per_env(False, description="whether an apply may restart nodes for a setting")


def section(env: Environment) -> Section:
    """The environment's own section."""
    return env.section("scylla", Section)


def _wrong(found: str, expected: str) -> PydanticCustomError:
    return PydanticCustomError("found_expected", "{expected}", {"found": found, "expected": expected})
