"""Streaming replication as it is: slots on a primary, and what a replica's data is."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from pyinfra.api import FactBase
from typing_extensions import override

from facts.postgres import JsonFact
from facts.psql import query


@dataclass(frozen=True)
class SlotState:
    """One physical slot; `wal_status` is `lost` where what its replica still needs is gone."""

    active: bool
    wal_status: str | None


class PgSlots(JsonFact[dict[str, SlotState] | None]):
    """Every physical replication slot by name; None where no server runs."""

    @override
    def command(self, major: int, cluster: str) -> str:  # type: ignore[override]
        return query(
            major,
            cluster,
            "postgres",
            "SELECT coalesce(json_object_agg(slot_name, "
            "json_build_object('active', active, 'wal_status', wal_status)), '{}') "
            "FROM pg_replication_slots WHERE slot_type = 'physical' AND NOT temporary",
        )

    @staticmethod
    @override
    def parse(data: Any) -> dict[str, SlotState]:
        return {name: SlotState(**row) for name, row in data.items()}


@dataclass(frozen=True)
class ReplicaState:
    """A replica's data and its server.

    Attributes:
        data: there is a cluster's data.
        standby: it is marked to follow a primary.
        started: a server has run on it since it was made or copied.
        recovering: the server that runs follows; None where none answers.
        streaming: it receives from its primary at this moment.
        behind: the last that it said is that its primary no longer has the WAL that it lacks.
    """

    data: bool = False
    standby: bool = False
    started: bool = False
    recovering: bool | None = None
    streaming: bool = False
    behind: bool = False


class PgReplica(FactBase[ReplicaState]):
    """What the data of the cluster is."""

    @override
    def command(self, major: int, cluster: str) -> str:  # type: ignore[override]
        data = f"/var/lib/postgresql/{major}/{cluster}"
        asked = query(
            major,
            cluster,
            "postgres",
            "SELECT json_build_object('recovering', pg_is_in_recovery(), 'streaming', "
            "EXISTS (SELECT FROM pg_stat_wal_receiver WHERE status = 'streaming'))",
        )
        gone = "requested WAL segment .* has already been removed"
        return (
            f"if [ -s {data}/global/pg_control ]; then echo data; "
            f"if [ -e {data}/standby.signal ]; then echo standby; fi; "
            f"if [ -e {data}/postmaster.opts ]; then echo started; fi; fi; "
            f"if tail -n 4 /var/log/postgresql/postgresql-{major}-{cluster}.log 2>/dev/null | grep -q '{gone}'; "
            f"then echo behind; fi; {asked}"
        )

    @staticmethod
    @override
    def default() -> ReplicaState:
        return ReplicaState()

    @override
    def process(self, output: list[str]) -> ReplicaState:
        return parse_replica(output)


def parse_replica(lines: list[str]) -> ReplicaState:
    """Reads the words `data`, `standby`, `started`, `behind`, a line each, and one line of JSON from the server."""
    said = next((json.loads(line) for line in lines if line.startswith("{")), {})
    return ReplicaState(
        data="data" in lines,
        standby="standby" in lines,
        started="started" in lines,
        recovering=said.get("recovering"),
        streaming=bool(said.get("streaming")),
        behind="behind" in lines,
    )
