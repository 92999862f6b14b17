"""Not one request is lost: production under 200 requests a second on each web host, while releases come and go."""

from __future__ import annotations

import re
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import pytest

from mainstay import inventory
from tests.lab import releases
from tests.lab.laptop import ROOT, SYSTEM, Done, Laptop

PRODUCTION = f"{SYSTEM}/production"
ROLLOUT = ("rollout", SYSTEM, "--env", "production", "--emergency", "--reason", "a test under load", "--json")
API = "api.everydayai.test"
WEBS = ("eai-web-1", "eai-web-2")
APPS = ("eai-app-1", "eai-app-2", "eai-app-3")
MONITOR = "eai-mon-1"  # last of all
HOSTS = (*WEBS, *APPS, "eai-db-1", "eai-cache-1", MONITOR)
CLIENTS, EACH = 20, 10  # 20 clients, 10 requests a second each
LOG = "/var/log/nginx/access.log"
SLOTS = "/etc/nginx/services/everydayai-backend.conf"

Record = Callable[[str, object], None]


@dataclass
class Load:
    """What the clients of one web host saw: answers by status, errors, and the seconds that passed."""

    answers: dict[int, int]
    errors: str
    seconds: float


@pytest.fixture(scope="module")
def production(origin: Laptop, booted: None, tmp_path_factory: pytest.TempPathFactory) -> Laptop:
    """Production, rolled out from nothing by the real command."""
    assert shutil.which("hey"), "hey is not installed; bin/test installs it"
    laptop = origin.copy(tmp_path_factory.mktemp("production"))
    done = laptop.mainstay(*ROLLOUT, timeout=1800)
    assert done.code == 0, done.text
    return laptop


def pin(laptop: Laptop, version: str, fault: str = "none") -> None:
    """Builds the backend as that version, and pins it."""
    releases.pin(laptop.project, "backend", version, fault)


def start(laptop: Laptop, host: str) -> subprocess.Popen[str]:
    """The clients of one web host, on an empty log."""
    laptop.sh(host, f": > {LOG}")
    address = inventory.load(SYSTEM, "production", root=laptop.project, lab=laptop.lab).hosts[host].address
    words = ["-z", "60m", "-c", str(CLIENTS), "-q", str(EACH), "-host", API, f"https://{address}/health"]
    return subprocess.Popen(["hey", *words], stdout=subprocess.PIPE, text=True)


def under_load(laptop: Laptop, record: Record, work: Callable[[], Done | str]) -> Done | str:
    """Does the work with clients on every web host, from 2 s before to 2 s after it; not one request may be lost.

    A request is lost when its client got an error or no 2xx. hey is Go: it repeats a request, once, whose idle
    connection was closed before anything came back, as HTTP permits, and reports everything else.
    """
    clients = {host: start(laptop, host) for host in WEBS}
    time.sleep(2)
    started = time.monotonic()
    try:
        done = work()
    finally:
        took = round(time.monotonic() - started, 1)
        record("seconds", took)
        time.sleep(2)
        for client in clients.values():
            client.send_signal(signal.SIGINT)  # then it reports
        seen = {host: loaded(client.communicate(timeout=60)[0]) for host, client in clients.items()}
    for host, load in seen.items():
        record(host, str(load))
        print(f"{host}: {load} while the work took {took} s")
        assert set(load.answers) == {200}, f"{host}: {load}"
        assert not load.errors, f"{host}: {load}"
        assert load.answers[200] / load.seconds > 150, f"{host}: {load}"  # of 200; two cores carry hosts and clients
        agrees(laptop, host, load)
    return done


def agrees(laptop: Laptop, host: str, load: Load) -> None:
    """nginx's own word: what hey had asked and did not wait for when it ended is 499, and there is nothing else."""
    script = f'sed -n \'s/.* HTTP[^"]*" \\([0-9]*\\) .*agent="hey.*/\\1/p\' {LOG} | sort | uniq -c'
    logged = {int(status): int(count) for count, status in re.findall(r"(\d+) (\d+)", laptop.sh(host, script))}
    assert set(logged) <= {200, 499}, f"{host}: {logged}"
    assert 0 <= sum(logged.values()) - load.answers[200] <= CLIENTS, f"{host}: nginx {logged}, clients {load}"


def loaded(text: str) -> Load:
    """hey's own words."""
    answers = {int(status): int(count) for status, count in re.findall(r"\[(\d+)\]\s+(\d+) responses", text)}
    errors = text.partition("Error distribution:")[2].strip()
    total = re.search(r"Total:\s+([0-9.]+) secs", text)
    assert total, text
    return Load(answers, errors, float(total[1]))


def version_on(laptop: Laptop, host: str) -> str:
    """What answers on the canonical port of an app host."""
    said = laptop.sh(host, "curl -sS http://127.0.0.1:8000/version")
    return ", ".join(re.findall(r'"version":\s*"([^"]+)"', said))


def versions(laptop: Laptop) -> set[str]:
    """What answers on the canonical port of every app host."""
    return {version_on(laptop, host) for host in APPS}


def serving(laptop: Laptop, host: str) -> str:
    """The address of the instance that nginx sends requests to on an app host."""
    return laptop.sh(host, f"sed -n 's/^ *server \\(127[^ ;]*\\).*/\\1/p' {SLOTS}").strip()


def asked(laptop: Laptop, hosts: Iterable[str]) -> dict[str, set[str]]:
    """Which instances nginx sent requests to, by app host, since its log was emptied."""
    script = f'sed -n \'s/.* upstream="\\([^"]*\\)".*/\\1/p\' {LOG} | sort -u'
    return {host: set(re.findall(r"[^\s,]+", laptop.sh(host, script))) for host in hosts}


def same(before: dict[str, list[str]], after: dict[str, list[str]]) -> None:
    """Asserts that no host differs in a file, a mode, a link or a unit, and names the lines where one does."""
    differing = {name: sorted(set(lines) ^ set(after[name])) for name, lines in before.items()}
    assert not any(differing.values()), differing


@pytest.mark.covers("DP-12")
def test_a_good_release_loses_nothing(production: Laptop, record_property: Record) -> None:
    pin(production, "1.1.0")
    done = under_load(production, record_property, lambda: production.mainstay(*ROLLOUT))
    assert isinstance(done, Done)
    assert done.code == 0, done.text
    assert versions(production) == {"1.1.0"}


@pytest.mark.covers("HC-16", "DP-13")
def test_a_bad_release_loses_nothing_and_never_answers(production: Laptop, record_property: Record) -> None:
    before = production.fingerprints(HOSTS)
    instances = {host: {serving(production, host)} for host in APPS}
    for host in APPS:
        production.sh(host, f": > {LOG}")
    pin(production, "1.2.0", "health")
    done = under_load(production, record_property, lambda: production.mainstay(*ROLLOUT))
    pin(production, "1.1.0")
    assert isinstance(done, Done)
    assert done.code == 1, done.text
    (environment,) = done.json["environments"]
    assert environment["result"] == "put back"
    assert all(back["ok"] for back in environment["put_back"]), environment["put_back"]
    reason = environment["batches"][-1]["failures"][APPS[0]]
    assert re.search(r"GET /health on port \d+: found status 500, expected 200", reason), reason
    log = environment["batches"][-1]["logs"][APPS[0]]
    assert re.fullmatch(r"last lines of everydayai-backend@\d+\.service:", log[0]), log
    assert any("/health" in line for line in log[1:]), log
    assert asked(production, APPS) == instances, "no request reached the bad release"
    same(before, production.fingerprints(HOSTS))
    assert versions(production) == {"1.1.0"}


@pytest.mark.covers("RB-01", "GP-13")
def test_a_rollback_loses_nothing_and_takes_less_than_half_a_minute(
    production: Laptop, record_property: Record
) -> None:
    back = ("rollback", PRODUCTION, "--reason", "a test under load", "--json")
    done = under_load(production, record_property, lambda: production.mainstay(*back))
    assert isinstance(done, Done)
    assert done.code == 0, done.text
    assert versions(production) == {"1.0.0"}
    assert done.seconds < 30, done.text
    newest = production.mainstay("history", PRODUCTION, "-n", "1", "--json").json["runs"][0]
    assert (newest["verb"], newest["result"], newest["reason"]) == ("rollback", "verified", "a test under load")
    refused = production.mainstay(*ROLLOUT)
    assert refused.code == 3, refused.text
    assert "backend 1.1.0 is on hold" in refused.err


def test_a_rollout_that_fails_on_its_last_host_puts_every_host_back_and_loses_nothing(
    production: Laptop, record_property: Record
) -> None:
    pin(production, "1.3.0")
    production.edit("production.yaml", "maxmemory: 512mb ", "maxmemory: 384mb ")
    own = production.project / "templates" / "nginx" / "site.conf.j2"
    own.parent.mkdir(parents=True)
    own.write_text((ROOT / "templates" / "nginx" / "site.conf.j2").read_text() + "no_such_directive on;\n")
    before = production.fingerprints(HOSTS)
    done = under_load(production, record_property, lambda: production.mainstay(*ROLLOUT))
    own.unlink()
    production.edit("production.yaml", "maxmemory: 384mb ", "maxmemory: 512mb ")
    pin(production, "1.0.0")
    assert isinstance(done, Done)
    assert done.code == 1, done.text
    (environment,) = done.json["environments"]
    assert environment["result"] == "put back"
    assert {back["host"] for back in environment["put_back"] if back["ok"]} == {*HOSTS} - {WEBS[1], MONITOR}
    assert 'unknown directive "no_such_directive"' in environment["batches"][-1]["failures"][WEBS[0]]
    same(before, production.fingerprints(HOSTS))
    assert versions(production) == {"1.0.0"}


@pytest.mark.covers("NX-01")
def test_an_instance_that_stops_is_not_noticed(production: Laptop, record_property: Record) -> None:
    unit = "systemctl list-units --plain --no-legend 'everydayai-backend@*' | cut -d' ' -f1"
    name = production.sh(APPS[1], unit).strip()
    blink = f"systemctl stop {name}; sleep 5; systemctl start {name}; sleep 3"
    under_load(production, record_property, lambda: production.sh(APPS[1], blink))


@pytest.mark.covers("DF-60")
def test_a_web_host_that_lacks_an_asset_asks_another(production: Laptop) -> None:
    asset = "/srv/everydayai/frontend/assets/new.0badcafe.js"
    production.sh(WEBS[1], f"echo 'fresh()' > {asset}")
    ask = "curl -sSki --resolve everydayai.test:443:127.0.0.1 https://everydayai.test/assets"
    assert "fresh()" in production.sh(WEBS[0], f"{ask}/new.0badcafe.js")
    assert production.sh(WEBS[0], f"{ask}/none.00000000.js").split()[1] == "404"
    production.sh(WEBS[1], f"rm {asset}")


def test_a_canary_goes_back_alone_and_its_version_is_on_hold_for_all(production: Laptop) -> None:
    pin(production, "1.4.0")
    done = production.mainstay(*ROLLOUT)
    assert done.code == 0, done.text
    others = [host for host in HOSTS if host != APPS[0]]
    before = production.fingerprints(others)
    done = production.mainstay("rollback", PRODUCTION, "--limit", APPS[0], "--reason", "a canary", "--json")
    assert done.code == 0, done.text
    assert [version_on(production, host) for host in APPS] == ["1.0.0", "1.4.0", "1.4.0"]
    same(before, production.fingerprints(others))
    refused = production.mainstay(*ROLLOUT)
    assert refused.code == 3, refused.text
    assert "backend 1.4.0 is on hold" in refused.err
