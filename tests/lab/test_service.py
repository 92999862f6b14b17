"""Releases and services on a real host: one apply from bare, every check seen to fail, good and bad releases."""

from __future__ import annotations

import json

import pytest

from tests.lab import releases
from tests.lab.laptop import Laptop
from tests.lab.releases import APP, CACHE, DB, Stage

BASE = "/opt/everydayai/backend"
ENV = "/etc/everydayai/backend.env"
NGINX = "/etc/nginx/services/everydayai-backend.conf"
# The instance that serves; the other slot's port is 46000 less this one.
PORT = "$(sed -n 's/^.*server 127.0.0.1:\\([0-9]*\\).*/\\1/p' " + NGINX + ")"
UNIT = f"everydayai-backend@{PORT}.service"
HTTP = "python3 -m http.server --bind 127.0.0.1"
DROP_IN = "/etc/systemd/system/everydayai-backend@.service.d"


@pytest.fixture(scope="module")
def stage(bare: Laptop) -> Stage:
    stage = releases.of(bare)
    stage.converge(DB, CACHE, APP)
    return stage


def slots(stage: Stage) -> tuple[str, str, list[str]]:
    """The slot that serves, the version that answers through nginx, and the units that run."""
    active = stage.sh(APP, f"sed -n 's/^# slot //p' {NGINX}").strip()
    version = json.loads(stage.sh(APP, "curl -sS http://127.0.0.1:8000/version"))["version"]
    running = stage.sh(APP, "systemctl list-units --plain --no-legend 'everydayai-backend@*' | cut -d' ' -f1").split()
    return active, version, running


def _workers(stage: Stage) -> list[str]:
    return stage.sh(APP, f"pgrep -P $(systemctl show -P MainPID {UNIT}) -f multiprocessing.spawn").split()


@pytest.mark.covers("DP-35", "DP-36")
def test_one_apply_from_a_bare_host_converges_and_passes_every_check(stage: Stage) -> None:
    assert stage.failing("release", APP) == set()
    assert stage.failing("service", APP) == set()
    assert stage.failing("nginx", APP) == set()


def test_items_are_stored_in_a_table_that_the_service_made_itself(stage: Stage) -> None:
    """Its role has a schema of its own; the owner's migration would put the table into public."""
    ask = "curl -sS http://127.0.0.1:8000/api/items"
    added = json.loads(stage.sh(APP, f'{ask} -d \'{{"name": "first"}}\''))
    found = json.loads(stage.sh(APP, ask))
    assert [item["name"] for item in found["items"] if item["id"] == added["id"]] == ["first"]


@pytest.mark.covers("RT-03")
def test_a_worker_that_is_killed_comes_back(stage: Stage) -> None:
    before = _workers(stage)
    assert len(before) == 4
    stage.sh(APP, f"kill -KILL {before[0]}; sleep 8")
    after = _workers(stage)
    assert len(after) == 4
    assert before[0] not in after


BOOT, RESTARTS = "instances run and start at boot", "instances do not restart"
PORTS, PRIVATE = "listens on exactly the declared ports", "environment file is for root and the service only"
EACH, THROUGH = "each instance is healthy", "healthy through nginx on the canonical port"
RELEASE, VARIABLES = "processes run the pinned release", "processes have the declared environment"
USER, CONFINED = "processes are the service s own user s", "units are confined"
SECRETS = "processes hold the secrets of the store"
ACCEPTED, CORES = "units are what systemd accepts", "processes leave no core dumps"
LOOSE = "".join(f"{key}=\\n" for key in ("CapabilityBoundingSet", "SystemCallFilter", "RestrictAddressFamilies"))
LOOSE = LOOSE.replace("Set=", "Set=~") + "".join(
    f"{key}=no\\n"
    for key in ("ProtectSystem", "PrivateDevices", "RestrictNamespaces", "NoNewPrivileges", "ProtectKernelModules")
)
# What hands do to a host, and the checks that must say so; each round breaks much at once, so that a check that sees
# nothing shows, and one that sees too much as well. The last word of a round is what no apply can know of.
ROUNDS = [
    (
        {
            f"systemctl disable --quiet {UNIT}": {BOOT},
            f"systemctl kill --kill-whom=main --signal=KILL {UNIT}; sleep 10": {RESTARTS},
            f"chmod 644 {ENV}": {PRIVATE},
            f"systemd-run --quiet --unit=stray {HTTP} $((46000 - {PORT})); sleep 2": {PORTS},
        },
        "systemctl stop stray",
    ),
    (
        {
            f"mkdir -p {DROP_IN}": set(),
            f"printf '[Service]\\nUser=root\\nNoSuchKey=1\\nLimitCORE=infinity\\n{LOOSE}' > {DROP_IN}/x.conf": {
                USER,
                ACCEPTED,
                CONFINED,
                CORES,
            },
            f"sed -i 's/^APP_DEBUG=.*/APP_DEBUG=\"true\"/' {ENV}": {VARIABLES},
            f"cp -a {BASE}/releases/1.0.0 {BASE}/releases/0.9.0; ln -sfn ../releases/0.9.0 {BASE}/instances/{PORT}": {
                RELEASE
            },
            f"systemctl daemon-reload; systemctl restart {UNIT}; sleep 5": set(),
        },
        f"rm -r {DROP_IN} {BASE}/releases/0.9.0; systemctl daemon-reload",
    ),
    (
        {f"sed -i 's/server 127.0.0.1:[0-9]*/server 127.0.0.1:1/' {NGINX}; systemctl reload nginx; sleep 1": {THROUGH}},
        "true",
    ),
    ({f"systemctl stop {UNIT}": {BOOT, PORTS, EACH, THROUGH, RELEASE, VARIABLES, SECRETS, USER, CORES}}, "true"),
]


@pytest.mark.covers("EV-11")
@pytest.mark.parametrize("number", range(len(ROUNDS)))
def test_every_break_is_seen_by_its_check_and_brought_back_by_one_apply(stage: Stage, number: int) -> None:
    breaks, repair = ROUNDS[number]
    with stage.broken(APP, "\n".join(["set -e", *breaks]), repair):
        assert stage.failing("service", APP) == set().union(*breaks.values())
    assert stage.failing("service", APP) == set()


RELEASE_BREAKS = {
    f"ln -sfn releases/none {BASE}/current": {
        "pinned release is current",
        "virtual environment is whole",
        "program of the release is there",
    },
    f"ln -sfn releases/none {BASE}/previous": {"release before is there to return to"},
    f"for v in 1 2 3 4 5; do mkdir {BASE}/releases/$v; echo x > {BASE}/releases/$v/.artefact; done": {
        "old releases do not pile up"
    },
    f"touch {BASE}/releases/1.0.0/app/.env": {"releases hold no settings and are root s"},
}


def test_every_break_of_a_release_is_seen(stage: Stage) -> None:
    repair = f"cd {BASE}; rm -rf previous releases/[1-5] releases/1.0.0/app/.env"
    with stage.broken(APP, "; ".join(RELEASE_BREAKS), repair):
        assert stage.failing("release", APP) == set().union(*RELEASE_BREAKS.values())
    packages = f"{BASE}/releases/1.0.0/venv/lib/python3.11/site-packages"
    away, back = f"mkdir /root/h11; mv {packages}/h11* /root/h11", f"mv /root/h11/* {packages}; rmdir /root/h11"
    with stage.broken(APP, away, back):
        assert stage.failing("release", APP) == {"virtual environment is whole"}
    assert stage.failing("release", APP) == set()


@pytest.mark.covers("HC-06")
def test_redis_that_stops_turns_its_own_check_red(stage: Stage) -> None:
    stage.sh(CACHE, "systemctl stop redis-server")
    try:
        ask = "curl -s http://127.0.0.1:8000/health"
        said = [json.loads(stage.sh(APP, f"{ask}{path}"))["status"] for path in ("", "/db", "/redis")]
        assert said == ["healthy", "connected", "disconnected"]
        assert stage.failing("service", APP) == {EACH, THROUGH}
    finally:
        stage.sh(CACHE, "systemctl start redis-server")


@pytest.mark.covers("DP-12", "DF-49", "DF-59")
def test_a_good_release_takes_the_other_slot_and_the_one_before_comes_back(stage: Stage) -> None:
    before, version, _ = slots(stage)
    assert version == "1.0.0"
    stage.pin("backend", "1.1.0")
    stage.converge(APP)
    after, version, running = slots(stage)
    assert (after != before, version, len(running)) == (True, "1.1.0", 1)
    assert stage.sh(APP, f"readlink {BASE}/current {BASE}/previous").split() == ["releases/1.1.0", "releases/1.0.0"]
    stage.pin("backend", "1.0.0")
    stage.converge(APP)
    assert slots(stage)[:2] == (before, "1.0.0")
    assert stage.failing("service", APP) | stage.failing("release", APP) == set()


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        ("health", "GET /health on port 28000: found status 500, expected 200"),
        ("crash", "everydayai-backend@28000.service ended at its start"),
    ],
)
@pytest.mark.covers("HC-16", "DP-13", "DF-50")
def test_a_bad_release_never_receives_a_request(stage: Stage, fault: str, reason: str) -> None:
    if slots(stage)[0] == "green":  # so that the message names one port
        stage.pin("backend", "1.1.0")
        stage.converge(APP)
    stage.edit("system.yaml", "ready_timeout_s: 60", "ready_timeout_s: 30")
    stage.sh(APP, ": > /var/log/nginx/access.log")
    looks = f"sha256sum {NGINX} {ENV}; readlink {BASE}/current {BASE}/previous {BASE}/instances/*"
    before = slots(stage), stage.sh(APP, looks)
    pinned = stage.environment.releases["backend"].version
    stage.pin("backend", f"1.2.0+{fault}", fault)
    try:
        outcome = stage.apply(APP)
        assert not outcome["ok"]
        assert reason in outcome["reason"]
        assert (slots(stage), stage.sh(APP, looks)) == before
        asked = stage.sh(APP, "grep -v mainstay-probe /var/log/nginx/access.log | grep -c 127.0.0.1:28000 || true")
        assert int(asked) == 0
    finally:
        stage.edit("system.yaml", "ready_timeout_s: 30", "ready_timeout_s: 60")
        stage.pin("backend", pinned)
    stage.converge(APP)


@pytest.mark.covers("NX-06")
def test_nginx_that_refuses_keeps_the_old_slot(stage: Stage) -> None:
    before = slots(stage)
    pinned = stage.environment.releases["backend"].version
    stage.pin("backend", "1.3.0")
    stage.sh(APP, "echo 'upstream broken { server ; }' > /etc/nginx/modules-enabled/99-broken.conf")
    try:
        outcome = stage.apply(APP)
        assert "nginx" in outcome["reason"]
        assert slots(stage) == before
    finally:
        stage.sh(APP, "rm -f /etc/nginx/modules-enabled/99-broken.conf")
        stage.pin("backend", pinned)
    stage.converge(APP)


@pytest.mark.covers("DP-35")
def test_a_killed_process_is_back_within_ten_seconds(stage: Stage) -> None:
    stage.sh(APP, f"systemctl kill --kill-whom=main --signal=KILL {UNIT}")
    stage.sh(APP, "for i in $(seq 100); do curl -fs http://127.0.0.1:8000/health && exit 0; sleep 0.1; done; exit 1")
    stage.sh(APP, f"systemctl restart {UNIT}")
    stage.sh(APP, "for i in $(seq 100); do curl -fs http://127.0.0.1:8000/health && exit 0; sleep 0.1; done; exit 1")


@pytest.mark.covers("DP-36")
def test_what_runs_survives_a_power_cut(stage: Stage, bare: Laptop) -> None:
    for verb in ("kill", "boot"):
        done = bare.mainstay("lab", verb, APP)
        assert done.code == 0, done.text
    stage.sh(APP, "for i in $(seq 200); do curl -fs http://127.0.0.1:8000/health && exit 0; sleep 0.1; done; exit 1")
    assert stage.failing("service", APP) == set()
    assert not stage.plan(APP)["changes"]
