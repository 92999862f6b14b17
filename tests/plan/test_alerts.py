"""Every rule, judged by promtool: silent until its duration is over, firing then, silent all along on the calm side."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from deploys.components.monitoring.measures import measures
from deploys.components.monitoring.rule import Rule
from deploys.components.monitoring.rules import groups
from mainstay.inventory import Environment
from tests.plan import alert_cases
from tests.plan.alert_cases import case_of, rising, steady
from tests.plan.alert_judge import as_test, deployed, firing, judged, question, written
from tests.plan.promtool import run
from tests.plan.watched import environment
from tests.unit.inventories import SYSTEMS

LATER_S = 300
"""Looked at again after a rule has waited for its duration."""


@pytest.fixture(scope="module")
def env(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Environment]:
    with pytest.MonkeyPatch.context() as patch:
        yield environment(tmp_path_factory.mktemp("watched"), patch, "production")


@pytest.fixture(scope="module")
def folder(env: Environment, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the rules as Prometheus reads them."""
    return written(env, tmp_path_factory.mktemp("rules"))


@pytest.fixture(params=SYSTEMS)
def shipped(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Environment, Path]:
    """Production of each shipped system, and its rules."""
    return deployed(request.param, tmp_path)


_HEALTH = 'probe_success{job="health",host="h",service="api",check="/health"}'


def every_rule(env: Environment) -> dict[str, list[Rule]]:
    """By the file that holds them; all but the one that is never silent."""
    return {f"{g.name}.rules.yml": [r for r in g.rules if r.alert != "Watchdog"] for g in groups(env)}


def test_rules_pass_promtool_s_own_check(folder: Path) -> None:
    assert "SUCCESS" in run("promtool", "check", "rules", folder / "rules.yml")


@pytest.mark.covers("MT-01", "MT-02", "MT-03", "MT-05", "MT-30", "MT-31", "MT-32", "MT-33", "MT-34", "MT-37")
@pytest.mark.covers("MT-38", "MT-39", "MT-40", "MT-43", "MT-46", "MT-47", "MT-48", "MT-49")
def test_every_rule_fires_when_it_should_and_not_before(env: Environment, folder: Path) -> None:
    fires(env, folder)


def fires(env: Environment, folder: Path) -> None:
    """Each rule: not a second before it has lasted, and then."""
    for file, rules in every_rule(env).items():
        tests = []
        for rule in rules:
            case = case_of(env, rule)
            at, expr = case.after + rule.for_s, firing(rule)
            asked = [*([question(expr, at - 1, 0)] if at else []), question(expr, at, 1)]
            tests.append(as_test(f"{rule.alert} {rule.severity} {rule.about}", case.fires, asked))
        judged(folder, file, tests)


@pytest.mark.covers("MT-01", "DF-33", "DF-34", "DF-35", "DF-36", "DF-37")
def test_every_rule_is_silent_on_the_right_side(env: Environment, folder: Path) -> None:
    silent(env, folder)


@pytest.mark.covers("MT-06", "MT-19", "MT-20", "MT-21", "MT-22", "MT-23", "MT-43", "MT-46", "MT-47", "MT-48", "MT-49")
def test_every_rule_of_each_shipped_system_fires_and_is_silent(shipped: tuple[Environment, Path]) -> None:
    """With the runbook's own limits, severities, services and hosts."""
    env, folder = shipped
    assert "SUCCESS" in run("promtool", "check", "rules", folder / "rules.yml")
    fires(env, folder)
    silent(env, folder)
    told = {rule.severity for group in groups(env) for rule in group.rules}
    assert set(env.common.alerts) <= told


def silent(env: Environment, folder: Path) -> None:
    """No rule says anything of what stays on the right side of its limit."""
    for file, rules in every_rule(env).items():
        tests = []
        for rule in rules:
            asked = [question(firing(rule), rule.for_s + later, 0) for later in (0, 60, LATER_S)]
            tests.append(as_test(f"{rule.alert} {rule.severity} {rule.about}", case_of(env, rule).calm, asked))
        judged(folder, file, tests)


@pytest.mark.covers("DF-32")
def test_nothing_at_all_is_no_reason_for_silence(env: Environment, folder: Path) -> None:
    """Without a single series the watchdog is told, and that every target and every backup is missing (DF-32)."""
    alone = {"TargetsMissing", "BackupMissing", "Watchdog"}
    rules = [rule for group in groups(env) for rule in group.rules]
    asked = [question(firing(rule), LATER_S + 1800, 1 if rule.alert in alone else 0) for rule in rules]
    judged(folder, "rules.yml", [as_test("nothing", [], asked)])


@pytest.mark.covers("MT-42")
def test_two_failed_minutes_of_five_are_not_three(folder: Path) -> None:
    rule = Rule("ServiceDown", "", "P0", 0, "")
    # Up again after 75 s: the samples of minute 0 and of minute 1 have failed.
    told = {"series": _HEALTH, "values": "0x5 1x400"}
    test = as_test("two of five", [], [question(firing(rule), at, 0) for at in (60, 120, 180, 240, 300, 600)])
    judged(folder, "events.rules.yml", [{**test, "input_series": [told]}])


@pytest.mark.covers("DF-28", "DF-29", "MT-04")
def test_a_rate_is_no_percentage(env: Environment, folder: Path) -> None:
    """One request in 25 s that always fails is told; 40 errors a second among 1000 requests are 4 %."""
    critical = Rule("ErrorRate", "", "critical", 0, "")
    few = rising('http_requests_total{job="services",service="api",status="500"}', 0.04)
    many = [
        rising('http_requests_total{job="services",service="api",status="500"}', 40),
        rising('http_requests_total{job="services",service="api",status="200"}', 960),
    ]
    one = [
        rising('http_requests_total{job="services",service="api",status="500"}', 0.04),
        rising('http_requests_total{job="services",service="api",status="200"}', 0.96),
    ]
    tests = [
        as_test("one", one, [question(firing(critical), 900, 0)]),
        as_test("few", [few], [question(firing(critical), 900, 1), question("mainstay:error_rate_pct == 100", 900, 0)]),
        as_test("many", many, [question(firing(critical), 900, 0)]),
    ]
    tests[1]["promql_expr_test"][1]["exp_samples"] = [
        {"labels": 'mainstay:error_rate_pct{service="api"}', "value": 100}
    ]
    judged(folder, "error_rate_pct.rules.yml", tests)


@pytest.mark.covers("MT-10", "MT-11", "MT-12")
def test_what_is_recorded_of_a_service_is_one_value_in_its_unit(folder: Path) -> None:
    """600 requests a minute on two instances, one in a hundred failed, 95 of 100 answered within 190 ms."""
    series = [*alert_cases.MAKERS["p95_ms"][0](190), *alert_cases.requests(10, 1)]
    wanted = {"request_rate_per_min": 600, "error_rate_pct": 1, "p95_ms": 190}
    tests = []
    for name, value in wanted.items():
        asked = question(f"round(mainstay:{name}, 0.001)", 900, 1)
        asked["exp_samples"] = [{"labels": '{service="api"}', "value": value}]
        tests.append((name, as_test(name, series, [asked])))
    for name, test in tests:
        judged(folder, f"{name}.rules.yml", [test])


@pytest.mark.covers("MT-24")
def test_no_traffic_is_no_error_and_no_miss(folder: Path) -> None:
    names = ("error_rate_pct", "cache_hit_pct", "db_cache_hit_pct")
    still = [
        steady('http_requests_total{job="services",service="api",status="500"}', 9),
        steady('redis_keyspace_hits_total{job="redis",host="h"}', 9),
        steady('redis_keyspace_misses_total{job="redis",host="h"}', 900),
        steady('pg_stat_database_blks_hit{job="postgres",host="h",datname="a"}', 9),
        steady('pg_stat_database_blks_read{job="postgres",host="h",datname="a"}', 900),
    ]
    asked = [question(f"count(mainstay:{name})", 900, 0) for name in names]
    judged(folder, "rules.yml", [as_test("no traffic", still, asked)])


@pytest.mark.covers("MT-20")
def test_what_people_read(env: Environment, folder: Path) -> None:
    """Labels, summary, runbook and action of one alert, whole."""
    expected = {
        "exp_labels": {"severity": "critical", "service": "api"},
        "exp_annotations": {
            "summary": "api: 1010.0 ms time within which 95 of 100 requests are answered, above 1000",
            "runbook_url": "https://runbooks.watched.test/LatencyP95",
            "action": "look_at_the_database",
        },
    }
    warning = {
        "exp_labels": {"severity": "warning", "service": "api"},
        "exp_annotations": {
            **expected["exp_annotations"],
            "summary": "api: 1010.0 ms time within which 95 of 100 requests are answered, above 500",
        },
    }
    series = alert_cases.MAKERS["p95_ms"][0](1010)
    test = as_test("read", series, [])
    test["alert_rule_test"] = [{"eval_time": "6m", "alertname": "LatencyP95", "exp_alerts": [warning, expected]}]
    judged(folder, "p95_ms.rules.yml", [test])


def test_a_case_that_is_wrong_is_seen(env: Environment, folder: Path) -> None:
    """promtool judges: with the expectation turned round, it is not content."""
    file, (rule, *_) = next(iter(every_rule(env).items()))
    case = case_of(env, rule)
    wrong = as_test("wrong", case.calm, [question(firing(rule), rule.for_s + 60, 1)])
    with pytest.raises(AssertionError, match="FAILED"):
        judged(folder, file, [wrong])


def test_every_measure_has_a_maker(env: Environment) -> None:
    assert set(alert_cases.MAKERS) == set(measures(env))
