"""A Go, a Node and a Python service on one host: from bare to verified, what each process was given, good and bad
releases of each kind, and each check of a kind seen to fail."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from tests.lab import kinds as systems
from tests.lab.kinds import APP, PORTS, Kinds

BASE = "/opt/kinds"


@pytest.fixture(scope="module")
def kinds(lab: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kinds]:
    """Three bare hosts and the releases that they are to get."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MAINSTAY_OPERATOR", "alex")
        made = systems.new(tmp_path_factory.mktemp("kinds") / "project", f"{lab}-kinds")
        made.outside("down")
        made.outside("up", "kinds", "--env", "staging")
        yield made
        made.outside("down")


@pytest.fixture(scope="module")
def rolled_out(kinds: Kinds) -> Kinds:
    """Staging, rolled out and verified from nothing."""
    done = kinds.mainstay("rollout", "kinds", "--env", "staging")
    assert done.returncode == 0, done.stdout + done.stderr
    return kinds


def test_a_plan_after_the_rollout_is_empty(rolled_out: Kinds) -> None:
    done = rolled_out.mainstay("plan", rolled_out.target, "--exit-code")
    assert done.returncode == 0, done.stdout + done.stderr
    assert rolled_out.failing("service", APP) | rolled_out.failing("release", APP) == set()


@pytest.mark.covers("RT-01")
def test_go_is_given_its_share(rolled_out: Kinds) -> None:
    """One core of two by its quota, 90 percent of its 64M, and the inventory's own GOGC; two instances, 100 apart."""
    found = rolled_out.environs("orders")
    assert len(found) == 2
    for environ in found:
        assert environ.items() >= {"GOMAXPROCS": "1", "GOMEMLIMIT": "57MiB", "GOGC": "50"}.items()
        assert "GODEBUG" not in environ
    metrics = [rolled_out.sh(APP, f"curl -sS http://127.0.0.1:{port}/metrics") for port in (18081, 18181)]
    assert all("go_gomaxprocs 1\n" in text for text in metrics)


@pytest.mark.covers("RT-04")
def test_node_is_given_its_share(rolled_out: Kinds) -> None:
    (environ,) = rolled_out.environs("basket")
    wanted = {"NODE_ENV": "production", "NODE_OPTIONS": "--max-old-space-size=192", "UV_THREADPOOL_SIZE": "4"}
    assert environ.items() >= wanted.items()
    limit = rolled_out.sh(APP, "curl -sS http://127.0.0.1:8082/metrics | sed -n 's/^nodejs_heap_size_limit_bytes //p'")
    # V8 adds what it keeps for young objects; both stay below memory_max.
    assert 192 * 1024**2 <= int(limit) < 256 * 1024**2


def test_python_has_the_workers_of_the_inventory(rolled_out: Kinds) -> None:
    """Its command does not say how many: WEB_CONCURRENCY does."""
    (environ,) = rolled_out.environs("api")
    assert environ["WEB_CONCURRENCY"] == "2"
    workers = rolled_out.sh(APP, "pgrep -cP $(systemctl show -P MainPID kinds-api@18083) -f multiprocessing.spawn")
    assert int(workers) == 2


@pytest.mark.parametrize("service", PORTS)
def test_every_kind_stores_and_reads(rolled_out: Kinds, service: str) -> None:
    url = f"http://127.0.0.1:{PORTS[service]}/api/items"
    added = json.loads(rolled_out.sh(APP, f'curl -sS {url} -d \'{{"name": "by {service}"}}\''))
    found = json.loads(rolled_out.sh(APP, f"curl -sS {url}"))
    assert f"by {service}" in {item["name"] for item in found["items"] if item["id"] == added["id"]}
    assert (added["writes"], found["reads"]) == (1, 1)


@pytest.mark.parametrize("service", PORTS)
def test_logs_name_the_instance_and_what_is_wrong(rolled_out: Kinds, service: str) -> None:
    rolled_out.sh(APP, f"curl -sS -o /dev/null http://127.0.0.1:{PORTS[service]}/api/nothing-here")
    said = rolled_out.sh(APP, f"journalctl -o cat -t kinds-{service} --since -10s --grep nothing-here")
    assert "status_code=404" in said
    if service != "api":
        line = json.loads(said.splitlines()[-1])
        assert line.items() >= {"path": "/api/nothing-here", "status": 404}.items()
        assert len(line["request_id"]) == 32


# What the hosts are judged by at the end of each of these: another slot, or nothing at all.
@pytest.mark.covers("DP-12")
@pytest.mark.parametrize("service", PORTS)
def test_a_release_of_each_kind_takes_the_other_slot_and_goes_back(rolled_out: Kinds, service: str) -> None:
    before = rolled_out.serving(service)
    assert before[1] == "1.0.0"
    others = {other: rolled_out.serving(other) for other in PORTS if other != service}
    rolled_out.pin(service, "1.1.0")
    rolled_out.converged(APP)
    slot, version = rolled_out.serving(service)
    assert (slot != before[0], version) == (True, "1.1.0")
    rolled_out.pin(service, "1.0.0")
    rolled_out.converged(APP)
    assert rolled_out.serving(service) == before
    assert {other: rolled_out.serving(other) for other in others} == others
    assert rolled_out.failing("service", APP) | rolled_out.failing("release", APP) == set()


@pytest.mark.parametrize(
    ("service", "fault", "reason"),
    [
        ("orders", "health", "GET /health on port 28081: found status 500, expected 200"),
        ("basket", "crash", "kinds-basket@28082.service ended at its start (exit status 3)"),
    ],
)
def test_a_bad_release_leaves_the_host_as_it_was(rolled_out: Kinds, service: str, fault: str, reason: str) -> None:
    before = rolled_out.serving(service)
    rolled_out.pin(service, "1.2.0", fault)
    outcome = rolled_out.apply(APP)
    assert not outcome["ok"]
    assert reason in outcome["reason"]
    rolled_out.pin(service, "1.0.0")
    rolled_out.converged(APP)
    assert rolled_out.serving(service) == before


def test_what_was_built_for_another_node_is_refused_before_anything_is_sent(rolled_out: Kinds) -> None:
    rolled_out.pin("basket", "1.3.0")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("workload.nodejs.NODE", "99")
        rolled_out.pin("basket", "1.3.0")
    outcome = rolled_out.apply(APP)
    rolled_out.pin("basket", "1.0.0")
    assert not outcome["ok"]
    assert outcome["reason"].endswith("basket 1.3.0 needs Node 99: found Node 18, nothing was changed")
    assert "1.3.0" not in rolled_out.sh(APP, f"ls {BASE}/basket/releases")


BREAKS = {
    f"chmod a-x {BASE}/orders/current/bin/orders": ("release", {"program of the release is there"}),
    f"mv {BASE}/basket/current/app/node_modules/pg /root/": ("release", {"program of the release is there"}),
    "sed -i '/location .* \\/debug/,/}/d' /etc/nginx/services/kinds-orders.conf; systemctl reload nginx; sleep 1": (
        "service",
        {"profiles are kept from the network"},
    ),
}
REPAIRS = [
    f"chmod a+x {BASE}/orders/current/bin/orders",
    f"mv /root/pg {BASE}/basket/current/app/node_modules/",
    "true",
]


@pytest.mark.parametrize(("command", "repair"), list(zip(BREAKS, REPAIRS, strict=True)))
def test_every_break_is_seen_by_its_check(rolled_out: Kinds, command: str, repair: str) -> None:
    suite, checks = BREAKS[command]
    rolled_out.sh(APP, command)
    try:
        assert rolled_out.failing(suite, APP) == checks
    finally:
        rolled_out.sh(APP, repair)
        rolled_out.converged(APP)
    assert rolled_out.failing(suite, APP) == set()


def test_a_process_that_dies_leaves_no_dump(rolled_out: Kinds) -> None:
    """Last, because systemd then counts a restart: the kernel says `killed` where it wrote no dump, else `dumped`."""
    unit = rolled_out.sh(APP, "systemctl list-units --plain --no-legend 'kinds-basket@*' | cut -d' ' -f1").strip()
    rolled_out.sh(APP, f"kill -ABRT $(systemctl show -P MainPID {unit}); sleep 8; systemctl is-active {unit}")
    said = rolled_out.sh(APP, f"journalctl -o cat -u {unit} --since -30s --grep 'Main process exited'")
    assert "code=killed, status=6/ABRT" in said
