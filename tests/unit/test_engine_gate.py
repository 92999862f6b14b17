"""What refuses a rollout: staging's proof, holds, open runs, damaged ledgers. Sentences, as an operator reads them."""

from __future__ import annotations

import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from mainstay.engine import gate, holds, ledger, runs
from mainstay.engine.holds import Hold
from mainstay.engine.records import records
from mainstay.engine.snapshot import HostState, ReleaseOnHost, parse
from mainstay.engine.versions import Step, choose, path
from mainstay.errors import InventoryError, UsageError
from tests.unit.inventories import SHIPPED, SYSTEM, copied, loaded
from tests.unit.test_engine_ledger import chain, row

NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)


def at(hours_ago: float) -> str:
    return (NOW - timedelta(hours=hours_ago)).strftime("%Y-%m-%dT%H:%M:%SZ")


def state(name: str = "stg-1", rows: list[ledger.Row] | None = None, **values: object) -> HostState:
    found = HostState(name, ledger=ledger.read(chain(rows or [])))
    for key, value in values.items():
        setattr(found, key, value)
    return found


def damaged() -> HostState:
    found = state(rows=[row(when=at(1))])
    found.ledger = ledger.read([found.ledger.lines[0].replace("anna", "eve")])
    return found


@pytest.mark.covers("DP-07", "GP-04")
@pytest.mark.parametrize(
    ("found", "sentence"),
    [
        (state(rows=[row(when=at(1))]), None),
        (state(rows=[row(when=at(23.9))]), None),
        (state(rows=[row(when=at(24.1))]), "more than 24 h ago"),
        (state(rows=[row(when=at(-1))]), "which is in the future"),
        (state(rows=[row(when=at(-0.05))]), None),
        (state(rows=[row(when=at(1), change="def")]), "verified change def last, not abc"),
        (state(rows=[row(when=at(2)), row(when=at(1), change="def")]), "verified change def last, not abc"),
        (state(rows=[row(when=at(2)), row(when=at(1), result=ledger.PUT_BACK)]), "did not verify its last change"),
        (state(rows=[row(when=at(1)), row(when=at(0.5), change="", result=ledger.LIFTED)]), None),
        (state(rows=[]), "has never verified anything"),
        (state(reachable=False, reason="No route to host"), "cannot be asked (No route to host)"),
        (damaged(), "cannot prove it: ledger row 1 is damaged"),
    ],
)
def test_staging_proves_a_change_or_says_why_not(found: HostState, sentence: str | None) -> None:
    good = state("stg-0", rows=[row(when=at(1))])
    why = gate.staging_proof({"stg-0": good, "stg-1": found}, "abc", 24, NOW)
    if sentence is None:
        assert why is None
    else:
        assert why is not None
        assert why.startswith("staging's stg-1 ")
        assert sentence in why


def test_a_staging_without_hosts_proves_nothing() -> None:
    assert gate.staging_proof({}, "abc", 24, NOW) == "staging has no hosts that could prove it"


def test_the_newest_hold_of_a_service_counts() -> None:
    old, new = (Hold("api", v, "1.0", "anna", w, "slow") for v, w in (("1.1", "2026-01-01"), ("1.2", "2026-01-02")))
    assert holds.in_force([old, new, old]) == [new]
    assert Hold.read('{"service": "api"}') is None


def release(current: str, previous: str = "", kept: tuple[str, ...] = ()) -> ReleaseOnHost:
    versions = {version: f"{version}-sha" for version in {current, *kept, *([previous] if previous else [])}}
    return ReleaseOnHost("api", current, previous, "blue", versions)


def with_release(name: str, found: ReleaseOnHost, verified: list[str], hold: str | None = None) -> HostState:
    rows = [row(when=at(10 - n), releases={"api": v}) for n, v in enumerate(verified)]
    held = [Hold("api", hold, "1.0", "anna", at(1), "slow")] if hold else []
    return state(name, rows, releases={"api": found}, holds=held)


@pytest.mark.covers("RB-04")
def test_a_rollback_goes_to_the_last_verified_version_even_when_another_was_tried_between() -> None:
    found = {"a": with_release("a", release("1.2", "1.1", ("1.0",)), ["1.0", "1.2"])}
    assert choose("api", found) == Step("api", "1.2", "1.0", "1.0-sha")


@pytest.mark.parametrize(
    ("hosts", "to", "expected"),
    [
        # The ledgers know nothing: the link.
        ([(release("1.1", "1.0"), [], None)], None, Step("api", "1.1", "1.0", "1.0-sha")),
        # What is on hold is not returned to, the one before it is.
        ([(release("1.1", "1.2", ("1.0",)), ["1.0", "1.2", "1.1"], "1.2")], None, Step("api", "1.1", "1.0", "1.0-sha")),
        # A version that one host has dropped is none to return to.
        ([(release("1.1", "1.0"), ["1.0", "1.1"], None), (release("1.1"), ["1.0", "1.1"], None)], None, None),
        ([(release("1.0"), ["1.0"], None)], None, None),
        ([(release("1.1", "1.0"), ["1.0"], None)], "1.1", None),
        # Hosts differ, after a rollout that stopped half-way: the named version brings them together.
        (
            [(release("1.1", "1.0"), ["1.0"], None), (release("1.0", "", ("1.1",)), ["1.0"], None)],
            "1.0",
            Step("api", "1.1", "1.0", "1.0-sha"),
        ),
    ],
)
def test_which_version_a_rollback_returns_to(
    hosts: list[tuple[ReleaseOnHost, list[str], str | None]], to: str | None, expected: Step | None
) -> None:
    found = {str(n): with_release(str(n), *host) for n, host in enumerate(hosts)}
    assert choose("api", found, to) == expected


@pytest.mark.parametrize(
    ("steps", "versions", "returned"),
    [
        ("rollout 1.0, rollout 1.1", ["1.0", "1.1"], False),
        ("rollout 1.0, rollout 1.1, rollback 1.0", ["1.0"], True),
        ("rollout 1.0, rollout 1.1, rollback 1.0, rollout 1.2", ["1.0", "1.2"], False),
        ("rollout 1.0, rollout 1.1, rollout 1.2, rollback 1.0", ["1.0"], True),
        ("rollout 1.0, rollout 1.0, rollout 1.1, rollout 1.0", ["1.1", "1.0"], False),
        ("rollback 1.0", ["1.0"], True),
    ],
)
def test_a_rollback_takes_away_what_it_left(steps: str, versions: list[str], returned: bool) -> None:
    words = [step.split() for step in steps.split(", ")]
    made = [row(when=at(20 - n), run=f"r{n}", verb=v, releases={"api": x}) for n, (v, x) in enumerate(words)]
    assert path("api", made) == (versions, returned)


def test_a_rollback_after_a_rollback_does_not_go_forward_again() -> None:
    rows = [("rollout", "1.0"), ("rollout", "1.1"), ("rollback", "1.0")]
    found = state("a", [row(when=at(9 - n), run=f"r{n}", verb=v, releases={"api": x}) for n, (v, x) in enumerate(rows)])
    found.releases = {"api": release("1.0", "1.1")}
    assert choose("api", {"a": found}) is None


def test_a_version_that_was_put_back_is_none_to_return_to() -> None:
    rows = [
        row(when=at(5), run="r1", releases={"api": "1.0"}),
        row(when=at(4), run="r2", releases={"api": "1.1"}),
        row(when=at(4), run="r2", releases={"api": "1.0"}, result=ledger.PUT_BACK),
        row(when=at(3), run="r3", releases={"api": "1.2"}),
    ]
    assert path("api", rows) == (["1.0", "1.2"], False)


def test_a_rollback_asks_which_version_where_hosts_differ_and_refuses_one_that_is_not_there() -> None:
    differing = {
        "a": with_release("a", release("1.1", "1.0"), []), "b": with_release("b", release("1.0", "", ("1.1",)), []),
    }  # fmt: skip
    with pytest.raises(UsageError, match=r"api: found different versions \(a 1.1, b 1.0\), expected --to VERSION"):
        choose("api", differing)
    with pytest.raises(UsageError, match=r"--to: found api 9.9, expected one of 1.0, 1.1"):
        choose("api", {"a": differing["a"]}, "9.9")


def test_open_runs_are_those_that_are_not_ended_everywhere() -> None:
    text = "run\t{run}\t{state}\t{{}}\n"
    states = {
        "a": parse("a", text.format(run="r1", state="done") + text.format(run="r2", state="verified")),
        "b": parse("b", text.format(run="r1", state="done") + text.format(run="r2", state="open")),
        "c": parse("c", text.format(run="r0", state="back")),
    }
    found = runs.open_runs(states)
    assert [(run.run, run.hosts) for run in found] == [("r2", {"a": "verified", "b": "open"})]
    assert found[0].verified == {"a"}
    assert found[0].to_put_back == ["a", "b"]
    assert not found[0].going_back


def test_run_ids_sort_by_time() -> None:
    ids = [runs.new_id(NOW + timedelta(seconds=n)) for n in range(5)]
    assert ids == sorted(ids)
    assert ids[0].startswith("20261122T120000Z-")


def test_a_host_says_what_was_changed_outside_since_its_last_row() -> None:
    rows = [row(files="d1", releases={"api": "1.0"})]
    clean = state(rows=rows, files="d1", releases={"api": release("1.0")})
    assert clean.outside == []
    assert state(rows=rows, files="d2").outside == ["the record of managed files is not the one in the ledger"]
    assert state(rows=rows, files="d1", releases={"api": release("1.1")}).outside == ["api is 1.1, the ledger says 1.0"]
    assert state(rows=rows, files="d1", differs=["/etc/x"]).outside == ["/etc/x was changed by hand"]
    assert state(rows=rows, files="d2", plain=["/etc/x"]).outside == ["/etc/x was written by plain pyinfra"]


@pytest.mark.covers("DP-28", "GP-15")
def test_history_shows_a_run_once_with_its_worst_result() -> None:
    rows = [
        row(host="a", run="r1", when=at(3), changes=2, passed=5),
        row(host="b", run="r1", when=at(3), changes=1, passed=4),
        row(host="a", run="r2", when=at(2), result=ledger.VERIFIED),
        row(host="a", run="r2", when=at(1), result=ledger.PUT_BACK, reason="b failed"),
        row(host="b", run="r2", when=at(1), result=ledger.INCOMPLETE, reason="b failed"),
    ]
    newest, oldest = records(rows)
    assert (newest.run, newest.result, newest.hosts, newest.reason) == ("r2", ledger.INCOMPLETE, ["a", "b"], "b failed")
    assert (oldest.run, oldest.changes, oldest.passed, oldest.who) == ("r1", 3, 9, "anna")


def test_a_snapshot_of_other_shapes_is_read_without_an_exception() -> None:
    found = parse("a", "run\tr1\nrelease\tx\nunit\tu\tactive\nhold\tnot json\nlease\t{}\nmanaged\nnoise\n\nledger\t{\n")
    assert (found.runs, found.releases, found.holds) == ([], {}, [])
    assert found.lease == {"operator": "somebody"}
    assert found.ledger.damage is not None


def test_an_artefact_that_a_host_needs_must_be_here(tmp_path: Path) -> None:
    root = copied(tmp_path)
    shutil.copy(SHIPPED / SYSTEM / "releases.yaml", root / "inventories" / SYSTEM / "releases.yaml")
    environment = loaded(root, "staging")
    release = environment.releases["backend"]
    name = "eai-stg-app-1"
    with pytest.raises(InventoryError) as refused:
        gate.check_artefacts(environment, {}, [name])
    key = f'releases.backend.artefacts["{release.version}"].file'
    assert f"{key}: found no artefacts/{release.artefact.file}, expected" in str(refused.value)
    assert f"{name} does not have backend {release.version} yet" in str(refused.value)

    kept = ReleaseOnHost("backend", "", "", "", {release.version: release.artefact.sha256})
    gate.check_artefacts(environment, {name: state(name, releases={"backend": kept})}, [name])
    (root / "artefacts").mkdir()
    (root / "artefacts" / release.artefact.file).touch()
    gate.check_artefacts(environment, {}, [name])
