"""The bench's hosts in the lab: booted, brought to the desired state, counted, and taken down again."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from pathlib import Path
from typing import Any

from bench import meter
from bench.errors import BenchError
from bench.ground import HOSTS, LAB, ROLES, SYSTEM, Ground, prepare
from mainstay.lab import Lab, Wanted, read_overlay, state
from mainstay.lab.addresses import Network
from mainstay.lab.paths import LabPaths
from mainstay.transport import multiplex

Say = Callable[[str], None]
_DEBIAN = 12
# Hosts that are brought up side by side: more of them only wait for each other's processors.
_TOGETHER = 5
# On how many hosts sessions are counted; all are asked the same.
_COUNTED = 3
_LIMIT_S = 600


def boot(ground: Ground, names: Sequence[str], say: Say) -> None:
    """Boots these hosts; those that run are left as they are."""
    wanted = [Wanted("staging", name, tuple(ROLES), _DEBIAN) for name in names]
    Lab(ground.lab, say).provide(SYSTEM, wanted)


def standing(lab: str) -> int:
    """How many hosts the lab has; none where it is not up."""
    known = state.load(LabPaths(lab))
    return len(known.hosts) if known else 0


def folders(ground: Ground) -> dict[str, Path]:
    """Where the lab has each host's disk, by its name; it goes with the host."""
    lab = Lab(ground.lab)
    return {host.name: lab.paths.host(host.identity) for host in lab.state().hosts}


def network_of(ground: Ground) -> Network:
    """The network of the ground's lab."""
    return Lab(ground.lab).state().network


def converge(ground: Ground, say: Say) -> None:
    """Brings every host of the ground to the desired state, a few at a time; nothing to do is quick.

    Raises:
        BenchError: a host failed, or is not as it should be afterwards.
    """
    # All before any: each one's firewall and upstreams name the addresses of all.
    boot(ground, ground.names, lambda line: None)
    for start in range(0, len(ground.names), _TOGETHER):
        names = ground.names[start : start + _TOGETHER]
        if passes(ground, "plan", names)["outcomes"][0]["changes"] == 0:
            continue
        say(f"bringing {names[0]} to {names[-1]} to the desired state")
        outcome = passes(ground, "apply", names)
        if outcome["outcomes"][0]["failed"]:
            raise BenchError(f"{names[0]} to {names[-1]}: {'; '.join(outcome['reasons'])}")


def passes(ground: Ground, verb: str, names: Sequence[str], count: int = 1) -> dict[str, Any]:
    """What `bench.drivers.passes` says.

    Raises:
        BenchError: it did not end well.
    """
    words = [sys.executable, "-m", "bench.drivers.passes", verb, str(count), ",".join(names)]
    done = subprocess.run(
        words, env=ground.variables, cwd=ground.project, capture_output=True, text=True, timeout=_LIMIT_S, check=False
    )
    if done.returncode != 0:
        raise BenchError(
            f"a pass of Mainstay ended with {done.returncode}: {(done.stderr.strip() or 'silently').splitlines()[-1]}"
        )
    said: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return said


def questions(ground: Ground, names: Sequence[str]) -> None:
    """Writes what the last plan asked of each host into the ground's `questions`, for the floor.

    Raises:
        BenchError: a host was never asked.
    """
    folder = ground.questions
    folder.mkdir(parents=True, exist_ok=True)
    words = [sys.executable, "-m", "bench.drivers.questions", str(folder), ",".join(names)]
    done = subprocess.run(
        words, env=ground.variables, cwd=ground.project, capture_output=True, text=True, timeout=60, check=False
    )
    if done.returncode != 0:
        raise BenchError((done.stderr.strip() or "the questions could not be written").splitlines()[-1])


def places(ground: Ground, names: Sequence[str]) -> str:
    """`host=address:port` for each, with commas."""
    known = read_overlay(ground.lab, SYSTEM).hosts
    return ",".join(f"{name}={known[f'staging/{name}'].address}:{known[f'staging/{name}'].port}" for name in names)


def fresh(count: int, say: Say) -> Ground:
    """Hosts as an image leaves them, in a lab of their own; those that were there before are gone."""
    found = prepare(f"fresh-{count}", count, f"{LAB}-fresh")
    Lab(found.lab).down()
    boot(found, found.names, say)
    return found


def leave(ground: Ground) -> None:
    """Takes the ground's lab down."""
    Lab(ground.lab).down()


def in_apt(ground: Ground, names: Sequence[str]) -> float:
    """Seconds that the slowest of these hosts spent inside dpkg, by apt's own log, which counts whole seconds."""
    script = "grep -hE '^(Start|End)-Date' /var/log/apt/history.log 2>/dev/null || true"
    lab = Lab(ground.lab)
    return max(apt_seconds(lab.inside(name, "sh", "-c", script).stdout) for name in names)


def apt_seconds(log: str) -> float:
    """Seconds between each `Start-Date: ` and the `End-Date: ` after it; pure."""
    total, started = 0.0, None
    for line in log.splitlines():
        what, _, when = line.partition(": ")
        moment = datetime.strptime(" ".join(when.split()), "%Y-%m-%d %H:%M:%S")
        if what == "Start-Date":
            started = moment
        elif started is not None:
            total, started = total + (moment - started).total_seconds(), None
    return total


def cpu(ground: Ground, names: Sequence[str]) -> float:
    """Processor seconds of these hosts since they booted, all of their processes."""
    lab = Lab(ground.lab).state()
    chosen = [host for host in lab.hosts if host.name in names]
    return sum(meter.cpu_of(meter.root() / "mainstay-lab" / lab.network.link(host.number)) for host in chosen)


def disconnect(ground: Ground) -> None:
    """Ends the connections to the hosts that an earlier command of Mainstay left open."""
    for socket in LabPaths(ground.lab).sockets.glob("*"):
        multiplex.end(socket)


def sessions(ground: Ground, names: Sequence[str], since: int) -> float:
    """SSH sessions a host since a second of the clock, counted by the hosts' own sshd, which writes each one down."""
    lab = Lab(ground.lab)
    script = f"journalctl -t sshd --since @{since} -o cat | grep -c '^Starting session' || true"
    chosen = list(names)[:_COUNTED]
    with ThreadPoolExecutor(len(chosen)) as pool:
        found = list(pool.map(lambda name: int(lab.inside(name, "sh", "-c", script).stdout or 0), chosen))
    return sum(found) / len(found) / max(1, len(names) // HOSTS)
