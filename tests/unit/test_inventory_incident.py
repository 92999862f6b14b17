"""Who answers, how fast, and what is told: each rule of `severity`, `incident`, `contacts` and `oncall`."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from mainstay.inventory.incident import Escalation, Severity
from tests.unit.inventories import SHIPPED, SYSTEMS, Edit, copied, loaded, messages

LAST = "P2: {rank: 2, response: 2h}"
PHASES = """incident:
  phases:
    - {name: immediate, until: 5m}
    - {name: mitigation, until: 30m}
    - {name: resolution}
    - {name: post_incident, until: next_business_day}

oncall:"""


def incident(text: str) -> Edit:
    """The section, before `oncall`."""
    return ("system.yaml", "oncall:", f"incident: {text}\n\noncall:")


CASES: dict[str, tuple[Edit, str]] = {
    "a number in the inventory": (
        ("system.yaml", "  devops: [vault, vault]", "  devops: [vault, '+49 30 901820']"),
        "oncall.devops[1]: found somebody who is not shown, "
        "expected an operator (alex), or vault for whom the secret store names",
    ),
    "nobody behind the first": (
        ("system.yaml", "  devops: [vault, vault]", "  devops: [vault]"),
        "oncall.devops: found a list of 1, expected at least 2 of them",
    ),
    "nobody on call": (
        ("system.yaml", "  devops: [vault, vault]", "  devops: []"),
        "oncall.devops: found an empty list, expected at least 2 of them",
    ),
    "a worse severity that waits longer": (
        ("system.yaml", "P0: {rank: 0, response: 0s}", "P0: {rank: 0, response: 45m}"),
        "severity.P0.response: found 2700 s, while P1 has 1800 s, expected no longer than that of the milder P1",
    ),
    "business hours, and the milder at once": (
        ("system.yaml", "P1: {rank: 1, response: 30m}", "P1: {rank: 1, response: business_hours}"),
        "severity.P1.response: found business_hours, while P2 has 7200 s, "
        "expected no longer than that of the milder P2",
    ),
    "a time that is none": (
        ("system.yaml", LAST, "P2: {rank: 2, response: soon}"),
        "severity.P2.response: found 'soon', expected a duration such as 15m, business_hours or next_business_day",
    ),
    "escalation to nobody": (
        ("system.yaml", LAST, "P2: {rank: 2, response: 2h, escalation: {after: 2h, to: [backend, cto]}}"),
        "severity.P2.escalation.to[1]: found 'cto', "
        "expected a contact or a field of oncall: security, backend, frontend, database, devops",
    ),
    "escalation without anybody": (
        ("system.yaml", LAST, "P2: {rank: 2, response: 2h, escalation: {after: 2h, to: []}}"),
        "severity.P2.escalation.to: found an empty list, expected at least 1 of them",
    ),
    "first asked": (
        ("system.yaml", LAST, "P2: {rank: 2, response: 2h, first: support}"),
        "severity.P2.first: found 'support', "
        "expected a contact or a field of oncall: security, backend, frontend, database, devops",
    ),
    "who is asked in turn": (
        incident("{escalation: [devops, team_lead]}"),
        "incident.escalation[1]: found 'team_lead', "
        "expected a contact or a field of oncall: security, backend, frontend, database, devops",
    ),
    "phases in another order": (
        incident("{phases: [{name: one, until: 15m}, {name: two}, {name: three, until: 5m}]}"),
        "incident.phases[2].until: found 300 s, expected later than 900 s, when the one before ends",
    ),
    "after the next business day": (
        incident("{security_phases: [{name: one, until: next_business_day}, {name: two, until: 7d}]}"),
        "incident.security_phases[1].until: found 604800 s, "
        "expected later than next_business_day, when the one before ends",
    ),
    "two phases of one name": (
        incident("{phases: [{name: one}, {name: one}]}"),
        "incident.phases[1].name: found 'one', expected a name of its own",
    ),
    "told to somebody else": (
        incident("{tell: [press]}"),
        "incident.tell[0]: found 'press', expected 'status_page', 'stakeholders' or 'timeline'",
    ),
    "nobody for security": (
        ("system.yaml", "  security: security@everydayai.test", "  management: vault"),
        "contacts.security: found nothing, expected an e-mail address for security incidents",
    ),
}


@pytest.mark.parametrize(("edit", "message"), CASES.values(), ids=CASES.keys())
@pytest.mark.covers("DF-94")
def test_each_fault_is_one_sentence(tmp_path: Path, edit: Edit, message: str) -> None:
    assert messages(copied(tmp_path, edit)) == [message]


@pytest.mark.covers("IR-01")
def test_an_alert_of_a_severity_that_is_not_described_is_refused(tmp_path: Path) -> None:
    edit = ("system.yaml", "alerts:    ", "alerts:\n  P7: [{name: database_lost}]    ")
    found = messages(copied(tmp_path, edit))
    assert "alerts.P7: found a severity that is not described, expected one of P0, P1, P2" in found


@pytest.mark.covers("IR-13", "IR-17")
@pytest.mark.parametrize("system", SYSTEMS)
def test_no_shipped_inventory_holds_a_persons_number(system: str) -> None:
    """Vendors' own are nobody's; on call are two for each field, by account or by their place in the secret store."""
    for name in ("system.yaml", "staging.yaml", "production.yaml"):
        values = yaml.safe_load((SHIPPED / system / name).read_text(encoding="utf-8"))
        values.pop("vendors", None)
        assert re.findall(r"\+\d[\d ()-]{7,}\d", yaml.safe_dump(values)) == []
        for who in values.get("oncall", {}).values():
            assert len(who) == 2


@pytest.mark.covers("IR-13")
def test_a_number_among_contacts_is_refused(tmp_path: Path) -> None:
    edit = ("system.yaml", "security: security@everydayai.test", "security: +49 30 901820")
    assert messages(copied(tmp_path, edit)) == [
        "contacts.security: found '+49 30 901820', "
        "expected an e-mail address, or vault; telephone numbers belong in the secret store"
    ]


def test_a_vendor_whom_nobody_knows_how_to_ask_is_noted(tmp_path: Path) -> None:
    assert "vendors.kie: nobody knows whom to ask (IR-18)" in loaded(copied(tmp_path)).notes


def test_all_faults_at_once(tmp_path: Path) -> None:
    edits = [CASES[name][0] for name in ("first asked", "phases in another order", "a number in the inventory")]
    found = messages(copied(tmp_path, *edits))
    assert sorted(key.split(":")[0] for key in found) == [
        "incident.phases[2].until",
        "oncall.devops[1]",
        "severity.P2.first",
    ]


def test_phases_with_and_without_an_end(tmp_path: Path) -> None:
    env = loaded(copied(tmp_path, ("system.yaml", "oncall:", PHASES)))
    assert [(phase.name, phase.until) for phase in env.common.incident.phases] == [
        ("immediate", 300.0),
        ("mitigation", 1800.0),
        ("resolution", None),
        ("post_incident", "next_business_day"),
    ]


@pytest.mark.covers("IR-05")
@pytest.mark.parametrize(("after", "noted"), [("next_business_day", True), ("3h", True), ("2h", False), ("30m", False)])
def test_escalation_after_the_response_is_noted(tmp_path: Path, after: str, noted: bool) -> None:
    said = f"P2: {{rank: 2, response: 2h, escalation: {{after: {after}, to: [devops]}}}}"
    env = loaded(copied(tmp_path, ("system.yaml", LAST, said)))
    note = "severity P2 escalates after its response time (IR-05)"
    assert (note in env.notes) is noted


def test_a_severity_may_say_whom_and_not_when() -> None:
    one = Severity(rank=0, first="on_call", escalation=Escalation(after="15m", to=["team_lead", "cto"]))
    assert one.response is None and one.escalation is not None and one.escalation.after == 900.0
