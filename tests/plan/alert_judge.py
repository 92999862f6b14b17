"""The rules of a system as promtool is given them, and what it is asked of them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import yaml

from deploys.components.monitoring import files
from deploys.components.monitoring.rule import Rule
from mainstay.inventory import Environment, load
from tests.plan import alert_cases
from tests.plan.alert_cases import STEP
from tests.plan.promtool import run
from tests.unit.inventories import copied


def written(env: Environment, made: Path) -> Path:
    """The folder `made` with the rules in it: one file with all of them, one with each group."""
    managed = files.prometheus(env, env.hosts_of("monitoring")[0])
    (made / "rules.yml").write_text(managed[1].content)
    # promtool evaluates all that it is given at every moment of every test, so each test is given its own group.
    for group in yaml.safe_load(managed[1].content)["groups"]:
        (made / f"{group['name']}.rules.yml").write_text(yaml.safe_dump({"groups": [group]}))
    return made


def deployed(system: str, tmp_path: Path) -> tuple[Environment, Path]:
    """Production of a shipped system, as it is with all services deployed, and its rules."""
    root = copied(tmp_path, system=system)
    path = root / "inventories" / system / "releases.yaml"
    services = load(system, "production", root=root).services
    pin = {"version": "1.0.0", "artefacts": {"1.0.0": {"file": "a.tar", "sha256": "0" * 64}}}
    path.write_text(json.dumps({"releases": dict.fromkeys(services, pin)}))
    env = load(system, "production", root=root)
    (tmp_path / "rules").mkdir()
    return env, written(env, tmp_path / "rules")


def firing(rule: Rule) -> str:
    about = "".join(f',{key}="{value}"' for key, value in rule.about.items())
    return f'count(ALERTS{{alertname="{rule.alert}",severity="{rule.severity}",alertstate="firing"{about}}})'


def question(expr: str, at: float, count: int) -> dict[str, Any]:
    samples = [{"labels": "{}", "value": count}] if count else []
    return {"expr": expr, "eval_time": f"{at:g}s", "exp_samples": samples}


def judged(folder: Path, rules: str, tests: list[dict[str, Any]]) -> None:
    """promtool is content with these tests of a file of rules."""
    path = folder / "tests.yml"
    whole = {"rule_files": [rules], "evaluation_interval": f"{STEP}s", "tests": tests}
    path.write_text(yaml.safe_dump(whole, sort_keys=False))
    run("promtool", "test", "rules", path)


def as_test(name: str, series: list[alert_cases.Series], questions: list[dict[str, Any]]) -> dict[str, Any]:
    last = max((float(one["eval_time"].removesuffix("s")) for one in questions), default=600.0)
    told = [one.as_yaml(last) for one in series]
    return {"name": name, "interval": f"{STEP}s", "input_series": told, "promql_expr_test": questions}
