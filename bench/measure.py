"""Measures cells one by one, within a limit of minutes, each result kept at once."""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

from bench import hosts, meter, rivals, wan
from bench.cells import Cell, Store
from bench.contenders import Contender, contender
from bench.errors import BenchError
from bench.ground import ROOT, TARGET, Ground
from bench.matrix import RIVALS

# Longer than any single run of the slowest contender on two cores.
CELL_LIMIT_S = 3600
_JOURNAL = ("500M", "501M")
BOOT = Path("/proc/sys/kernel/random/boot_id")

Say = Callable[[str], None]


@dataclass
class Bench:
    """The ground that cells run on, and the slow line while one is laid."""

    ground: Ground
    store: Store
    say: Say
    _line: ExitStack = field(default_factory=ExitStack)
    _rtt: int = 0
    _place: str = ""
    _carrier: subprocess.Popen[bytes] | None = None
    _round_trip: float = 0.0
    _loop: float = 0.0

    def close(self) -> None:
        """Takes the slow line away."""
        self._line.close()
        self._line, self._rtt, self._place, self._round_trip = ExitStack(), 0, "", 0.0

    def run(self, cells: Sequence[Cell], seconds: float) -> int:
        """Measures what is left of `cells` until `seconds` are over; gives the number that remains.

        Raises:
            BenchError: a contender did not do what it should; what was measured before it is kept.
        """
        ends = time.monotonic() + seconds
        self._loop = median(_loop() for _ in range(5))
        try:
            for at, cell in enumerate(cells):
                if time.monotonic() > ends:
                    return len(cells) - at
                self._lay(cell.row.rtt_ms)
                values = self._measured(cell)
                self.store.keep(cell, values)
                self.say(f"{cell.name}: {values['seconds']:.2f} s")
        finally:
            self.close()
        return 0

    def _lay(self, rtt_ms: int) -> None:
        if rtt_ms == self._rtt:
            return
        self.close()
        if rtt_ms:
            lab = hosts.network_of(self.ground)
            self._place, self._carrier = self._line.enter_context(wan.slow_line(lab, rtt_ms))
            self._rtt, self._round_trip = rtt_ms, median(wan.measured(self._place, str(lab.gateway)))

    def _measured(self, cell: Cell) -> dict[str, Any]:
        if cell.row.case != "first":
            return self._measured_on(self.ground, cell)
        place = hosts.fresh(cell.row.hosts, lambda line: None)
        try:
            return self._measured_on(place, cell)
        finally:
            hosts.leave(place)

    def _measured_on(self, place: Ground, cell: Cell) -> dict[str, Any]:
        one = contender(cell.row.case, cell.row.contender)
        names = place.names[: cell.row.hosts]
        if cell.row.case == "line":
            place.edit_journal(_JOURNAL[place.journal == _JOURNAL[0]])
        if cell.row.contender in RIVALS:
            rivals.install()
            rivals.write_inventory(place)
        hosts.disconnect(place)
        if one.kept:
            # In the same place: what is kept from elsewhere would go round the slow line. Its connections outlive it,
            # as a terminal's do; what is measured ends with all that it leaves.
            code = meter.before(one.words(place, names), place.variables, place.project, CELL_LIMIT_S, self._place)
            if code != 0:
                raise BenchError(f"{cell.name}: the command before it ended with {code}")
        since = int(time.time()) + 1
        time.sleep(since - time.time())  # the hosts' journals are asked by the second
        carried = self._carrier_cpu()
        before = hosts.cpu(place, names)
        with _memory(place, one) as variables:
            cost = meter.run(one.words(place, names), variables, place.project, CELL_LIMIT_S, self._place)
        after = hosts.cpu(place, names)
        fault = one.wrong(cost.code, cost.out, cost.err)
        if fault:
            raise BenchError(f"{cell.name}: {fault}")
        if cell.row.case == "first" and not one.verifies:
            # Whoever it was, the hosts must be what the inventory says.
            place.mainstay("verify", TARGET, "--limit", ",".join(names))
        said = _said(cost.out)
        return {
            "seconds": one.seconds(said) if one.seconds else cost.seconds,
            "whole_seconds": cost.seconds,
            "cores": os.cpu_count() or 1,
            "cpu": cost.cpu,
            "memory": cost.memory,
            "hosts_cpu": (after - before) / len(names),
            "sessions": hosts.sessions(place, names, since) if cell.row.case != "start" else 0,
            "in_apt": hosts.in_apt(place, names) if cell.row.case == "first" else 0,
            "round_trip_ms": self._round_trip,
            "line_cpu": self._carrier_cpu() - carried,
            **_of_second(said),
            "said": said,
            "sitting": BOOT.read_text().strip(),
            "loop": self._loop,
            "commit": _commit(),
            "at": int(time.time()),
        }

    def _carrier_cpu(self) -> float:
        """Processor seconds of the slow line's own process."""
        if self._carrier is None or not self._place:
            return 0.0
        return meter.cpu_of_process(self._carrier.pid)


def warm(ground: Ground, cells: Sequence[Cell]) -> None:
    """Gets everybody ready for the cells of one series: whose first run is dearer is not measured by it.

    Mainstay learns what it asks in this case. Ansible's own playbook brings what its modules need on the hosts.

    Raises:
        BenchError: the playbook failed, or Mainstay finds something to change after it.
    """
    case, names = cells[0].row.case, ground.names[: cells[0].row.hosts]
    if case == "verify":
        ground.mainstay("verify", TARGET, "--limit", ",".join(names))
    if case not in ("plan", "noop", "line", "targets"):
        return
    if any(cell.row.contender in RIVALS for cell in cells):
        _accustom(ground, names)
    found = hosts.passes(ground, "plan", names)["outcomes"][0]["changes"]
    if found and case != "targets":
        raise BenchError(
            f"{case} on {len(names)} hosts: found {found} changes before anything was measured, expected none"
        )
    hosts.questions(ground, names)


def _accustom(ground: Ground, names: Sequence[str]) -> None:
    """Only packages, and the request of the certificate, which the playbook keeps: the rest is there already, and takes
    half an hour on twenty hosts. Once for each host: an Ansible that would still change something is no measurement."""
    new = rivals.unaccustomed(ground, names)
    if not new:
        return
    rivals.install()
    rivals.write_inventory(ground)
    words = rivals.command(ground, new, "--tags", "packages,certificate")
    variables = {**ground.variables, **rivals.variables(mitogen=False)}
    cost = meter.run(words, variables, ground.project, CELL_LIMIT_S)
    if fault := rivals.converged(cost.code, cost.out, cost.err):
        raise BenchError(f"the playbook's first part on {len(new)} hosts {fault}")
    rivals.note_accustomed(ground, new)


@contextmanager
def _memory(ground: Ground, one: Contender) -> Iterator[dict[str, str]]:
    """The surroundings of a command; one that is to know nothing gets an empty memory."""
    if not one.forgetful:
        yield {**ground.variables, **one.variables()}
        return
    with tempfile.TemporaryDirectory(prefix="mainstay-bench-") as folder:
        yield {**ground.variables, "XDG_STATE_HOME": folder}


def _said(out: str) -> dict[str, Any]:
    """The line of JSON that a driver ends with; nothing for other commands."""
    last = (out.strip().splitlines() or [""])[-1]
    try:
        found = json.loads(last) if last.startswith("{") else {}
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _of_second(said: Mapping[str, Any]) -> dict[str, float]:
    """Processor seconds of the second of two rounds, whose connections were open, as a driver counted them."""
    if said.get("outcomes"):
        return {"cpu_open": float(said["outcomes"][-1]["cpu"])}
    return {"cpu_open": float(said["cpu"][-1])} if isinstance(said.get("cpu"), list) else {}


def _loop() -> float:
    """Seconds of ten million turns: how fast this machine is now."""
    began = time.perf_counter()
    sum(range(10_000_000))
    return time.perf_counter() - began


def _commit() -> str:
    done = subprocess.run(
        ["git", "-C", str(ROOT), "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False
    )
    return done.stdout.strip()
