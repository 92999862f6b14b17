"""Not one request is lost: production under 200 requests a second on each web host, while releases come and go."""

from __future__ import annotations

import re
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import pytest

from tests.lab import releases
from tests.lab.laptop import Laptop
from tests.lab.releases import Stage

API = "api.everydayai.test"
WEBS = ("eai-web-1", "eai-web-2")
APPS = ("eai-app-1", "eai-app-2", "eai-app-3")
SECOND = {"clients": 20, "each": 10}  # 20 clients, 10 requests a second each
LOG = "/var/log/nginx/access.log"


@dataclass
class Load:
    """What the clients of one web host saw: answers by status, errors, and the seconds that passed."""

    answers: dict[int, int]
    errors: str
    seconds: float


@pytest.fixture(scope="module")
def production(origin: Laptop, tmp_path_factory: pytest.TempPathFactory) -> Stage:
    assert shutil.which("hey"), "hey is not installed; bin/test installs it"
    stage = releases.of(origin.copy(tmp_path_factory.mktemp("production")))
    stage.target = "everydayai/production"
    for batch in (("eai-db-1", "eai-cache-1"), APPS, WEBS):
        everywhere(stage, batch)
    return stage


def everywhere(stage: Stage, hosts: Iterable[str], *, ok: bool = True) -> list[str]:
    """One apply on each of the hosts, side by side; gives their reasons."""
    with ThreadPoolExecutor() as pool:
        outcomes = list(pool.map(stage.apply, hosts))
    assert all(outcome["ok"] is ok for outcome in outcomes), [outcome["reason"] for outcome in outcomes]
    return [outcome["reason"] for outcome in outcomes]


def under_load(stage: Stage, work: Callable[[], object]) -> float:
    """Does the work with clients on every web host, from 2 s before to 2 s after it; not one request may be lost.

    Gives the seconds that the work took.
    """
    for host in WEBS:
        stage.sh(host, f": > {LOG}")
    addresses = [stage.environment.hosts[host].address for host in WEBS]
    clients = [
        subprocess.Popen(
            ["hey", "-z", "10m", "-c", str(SECOND["clients"]), "-q", str(SECOND["each"]), "-host", API,
             f"https://{address}/health"],
            stdout=subprocess.PIPE, text=True,
        )
        for address in addresses
    ]  # fmt: skip
    time.sleep(2)
    started = time.monotonic()
    try:
        work()
    finally:
        took = time.monotonic() - started
        time.sleep(2)
        for client in clients:
            client.send_signal(signal.SIGINT)  # then it reports
        seen = [loaded(client.communicate(timeout=30)[0]) for client in clients]
    for host, load in zip(WEBS, seen, strict=True):
        assert set(load.answers) == {200}, f"{host}: {load}"
        assert not load.errors, f"{host}: {load}"
        assert load.answers[200] / load.seconds > 150, f"{host}: {load}"  # of 200; two cores carry hosts and clients
        # nginx's own word; what hey had asked and did not wait for when it ended is 499.
        logged = stage.sh(host, f"grep -o 'HTTP/1.1\" [0-9]*' {LOG} | sort | uniq -c")
        assert set(re.findall(r'" (\d+)', logged)) <= {"200", "499"}, f"{host}: {logged}"
    return took


def loaded(text: str) -> Load:
    """hey's own words."""
    answers = {int(status): int(count) for status, count in re.findall(r"\[(\d+)\]\s+(\d+) responses", text)}
    errors = text.partition("Error distribution:")[2].strip()
    total = re.search(r"Total:\s+([0-9.]+) secs", text)
    assert total, text
    return Load(answers, errors, float(total[1]))


def versions(stage: Stage) -> set[str]:
    """What answers on the canonical port of every app host."""
    ask = "curl -sS http://127.0.0.1:8000/version"
    return {version for host in APPS for version in re.findall(r'"version":\s*"([^"]+)"', stage.sh(host, ask))}


@pytest.mark.covers("DP-12")
def test_a_good_release_loses_nothing(production: Stage) -> None:
    production.pin("backend", "1.1.0")

    def roll() -> None:
        everywhere(production, APPS[:1])
        everywhere(production, APPS[1:])

    under_load(production, roll)
    assert versions(production) == {"1.1.0"}


@pytest.mark.covers("HC-16", "DP-13")
def test_a_bad_release_loses_nothing_and_never_answers(production: Stage) -> None:
    production.edit("system.yaml", "ready_timeout_s: 60", "ready_timeout_s: 30")
    production.pin("backend", "1.2.0", "health")
    under_load(production, lambda: everywhere(production, APPS[:1], ok=False))
    production.edit("system.yaml", "ready_timeout_s: 30", "ready_timeout_s: 60")
    assert versions(production) == {"1.1.0"}


@pytest.mark.covers("GP-13")
def test_a_rollback_of_every_host_loses_nothing(production: Stage) -> None:
    production.pin("backend", "1.0.0")
    under_load(production, lambda: everywhere(production, APPS))
    assert versions(production) == {"1.0.0"}


@pytest.mark.covers("NX-01")
def test_an_instance_that_stops_is_not_noticed(production: Stage) -> None:
    unit = "systemctl list-units --plain --no-legend 'everydayai-backend@*' | cut -d' ' -f1"
    name = production.sh(APPS[1], unit).strip()
    blink = f"systemctl stop {name}; sleep 5; systemctl start {name}; sleep 3"
    under_load(production, lambda: production.sh(APPS[1], blink))


@pytest.mark.covers("DF-60")
def test_a_web_host_that_lacks_an_asset_asks_another(production: Stage) -> None:
    asset = "/srv/everydayai/frontend/assets/new.0badcafe.js"
    production.sh(WEBS[1], f"echo 'fresh()' > {asset}")
    address = production.environment.hosts[WEBS[0]].address
    url = "https://everydayai.test/assets"
    ask = f"curl -sSki --resolve everydayai.test:443:{address} {url}"
    assert "fresh()" in production.sh(WEBS[0], f"{ask}/new.0badcafe.js")
    assert production.sh(WEBS[0], f"{ask}/none.00000000.js").split()[1] == "404"
    production.sh(WEBS[1], f"rm {asset}")
