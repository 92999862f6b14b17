"""docs/coverage.md, made from a test run: which catalogue rows passed, by which test, on real hosts or without.

`pytest --coverage-page FILE` writes it. A row counts only when every test in the tree that claims it passed in that
run: one that the run left out may hold the other half of the row's acceptance check. A verification (tests/verify)
counts where a lab test ran it against real hosts, and says so with `verified`.
"""

from __future__ import annotations

import ast
import datetime
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

# Area prefix, title and number of rows, as the catalogue counts them.
AREAS = {
    "HC": ("Health checks and checklists", 19),
    "MT": ("Metrics, alerts and thresholds", 53),
    "DS": ("Dashboards", 6),
    "SC": ("Scaling", 19),
    "PG": ("Postgres operations", 27),
    "PT": ("Postgres tuning and connection pools", 17),
    "RP": ("Replicas", 6),
    "RD": ("Redis", 16),
    "SY": ("ScyllaDB", 6),
    "BK": ("Backup", 18),
    "BV": ("Backup verification", 5),
    "RS": ("Restore", 11),
    "DP": ("Deployment", 39),
    "MG": ("Migrations", 6),
    "RB": ("Rollback", 8),
    "FE": ("Static frontends and CDN", 7),
    "EV": ("Environment and configuration validation", 16),
    "SE": ("Secrets", 9),
    "CT": ("Certificates", 6),
    "NX": ("nginx", 8),
    "LG": ("Logs", 14),
    "SA": ("Security audit and response", 19),
    "MW": ("Maintenance mode, windows, housekeeping", 12),
    "IR": ("Incident response", 24),
    "TS": ("Troubleshooting playbooks", 14),
    "RT": ("Runtime tuning", 5),
    "ML": ("GPU and ML service", 6),
    "PF": ("Performance profiling", 4),
}
ROOT = Path(__file__).parents[1]
MARK = "pytest.mark.covers"
TEXT = Path(__file__).parent / "coverage_unproven.md"


@dataclass(frozen=True)
class Claim:
    """One test's claim on a row, and how the test ended."""

    row: str
    test: str
    lab: bool
    passed: bool


def marked(folder: Path = ROOT / "tests") -> dict[str, set[str]]:
    """The rows that each test in the tree claims by a decorator, by `path::name`; nothing is imported for it."""
    found: dict[str, set[str]] = {}
    for path in sorted(folder.rglob("test_*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef) and (rows := _rows(node)):
                found[f"{path.relative_to(folder.parent).as_posix()}::{node.name}"] = rows
    return found


def _rows(node: ast.FunctionDef) -> set[str]:
    marks = [mark for mark in node.decorator_list if isinstance(mark, ast.Call) and ast.unparse(mark.func) == MARK]
    return {ast.literal_eval(argument) for mark in marks for argument in mark.args}


def verified(checks: list[dict[str, Any]]) -> list[tuple[str, str, bool]]:
    """Row, test and whether it passed on every host, for each check of `mainstay verify --json` that claims a row."""
    passed: dict[str, bool] = {}
    for check in checks:
        name = check["check"].partition(" (")[0].replace(" ", "_")
        test = f"tests/verify/test_{check['component']}.py::test_{name}"
        passed[test] = passed.get(test, True) and check["ok"]
    return [(row, test, passed[test]) for test, rows in marked().items() if test in passed for row in sorted(rows)]


def page(claims: list[Claim], day: datetime.date, tree: dict[str, set[str]]) -> str:
    """The whole page, sorted, so that two runs with the same results give the same text.

    Args:
        tree: what `marked` finds.
    """
    rows: dict[str, list[Claim]] = defaultdict(list)
    for claim in claims:
        rows[claim.row].append(claim)
    ran = {(claim.row, claim.test) for claim in claims}
    left_out = {row for test, claimed in tree.items() for row in claimed if (row, test) not in ran}
    whole = {row: found for row, found in rows.items() if row not in left_out}
    covered = {row: found for row, found in whole.items() if all(claim.passed for claim in found)}
    parts = [
        "# Coverage",
        "",
        "Written by `pytest --coverage-page docs/coverage.md` (bin/test does it): do not edit. A row of the catalogue",
        "is covered when every test that asserts a part of its acceptance check passed in that run.",
        "",
        f"Last run: {day.isoformat()}. Rows covered: {_counted(covered)}; fixed defects and traps with a test of "
        f"their own: {len(covered) - _counted(covered)}.",
        "",
        _area_table(covered),
        "",
        "## Rows",
        "",
        "| row | proven on | test |",
        "|---|---|---|",
    ]
    parts += [_row(row, covered[row]) for row in sorted(covered, key=_order)]
    failed = sorted({claim.row for claim in claims if not claim.passed}, key=_order)
    if failed:
        parts += ["", "## Claimed, and failed in this run", "", ", ".join(failed)]
    waiting = sorted(left_out - set(failed), key=_order)
    if waiting:
        parts += ["", "## Claimed, and not whole in this run (`bin/test --all` runs the rest)", "", ", ".join(waiting)]
    return "\n".join(parts) + "\n\n" + TEXT.read_text(encoding="utf-8")


def _area_table(covered: dict[str, list[Claim]]) -> str:
    lines = ["| area | covered | on real hosts | rows |", "|---|---|---|---|"]
    for prefix, (title, count) in AREAS.items():
        mine = [claims for row, claims in covered.items() if row.partition("-")[0] == prefix]
        if mine:
            real = sum(any(claim.lab for claim in claims) for claims in mine)
            lines.append(f"| {prefix} {title} | {len(mine)} | {real} | {count} |")
    return "\n".join(lines)


def _row(row: str, claims: list[Claim]) -> str:
    where = "real hosts" if any(claim.lab for claim in claims) else "no host needed"
    tests = "<br>".join(sorted({f"`{claim.test}`" for claim in claims}))
    return f"| {row} | {where} | {tests} |"


def _counted(covered: dict[str, list[Claim]]) -> int:
    return sum(row.partition("-")[0] in AREAS for row in covered)


def _order(row: str) -> tuple[int, str, int]:
    prefix, _, number = row.partition("-")
    areas = list(AREAS)
    return areas.index(prefix) if prefix in areas else len(areas), prefix, int(number) if number.isdigit() else 0
