import pytest

from mainstay.outcome import FleetOutcome, HostOutcome, OpOutcome
from mainstay.plan_notes import Note, unified_diff


@pytest.mark.parametrize(
    ("host", "reason"),
    [
        (HostOutcome("a"), ""),
        (HostOutcome("a", reachable=False, error="not reachable: refused"), "not reachable: refused"),
        (HostOutcome("a", ops=[OpOutcome("x", True, ok=False, output="one\n\ntwo\n")]), "x: one / two"),
        (HostOutcome("a", ops=[OpOutcome("x", True, ok=False)]), "x failed"),
        (
            HostOutcome(
                "a",
                ops=[
                    OpOutcome(
                        "x",
                        True,
                        ok=False,
                        output="last lines of b:\nboom\nmainstay: b does not start\nleft: /etc/c is not as it was\n"
                        "mainstay: see above for what is left\n",
                    )
                ],
            ),
            "x: b does not start / left: /etc/c is not as it was",
        ),
        (
            HostOutcome("a", ops=[OpOutcome("x", True, ok=False, notes=[Note("error", "locked out")], output="noise")]),
            "x: locked out",
        ),
    ],
)
def test_the_reason_is_the_first_failure(host, reason):
    assert (host.reason, host.ok) == (reason, not reason)


def test_the_log_is_what_the_failing_step_printed_beside_the_reason() -> None:
    printed = "last lines of b:\n  boom\nmainstay: b does not start\nmainstay: see above for what is left\n"
    host = HostOutcome(
        "a", ops=[OpOutcome("fine", True, output="quiet"), OpOutcome("x", True, ok=False, output=printed)]
    )
    assert (host.reason, host.log) == ("x: b does not start", ["last lines of b:", "  boom"])
    long = HostOutcome("a", ops=[OpOutcome("x", True, ok=False, output="\n".join(f"line {n}" for n in range(100)))])
    assert len(long.log) == 25
    assert HostOutcome("a", error="not reachable").log == []


def test_a_fleet_counts_changes_and_names_who_failed():
    fine = HostOutcome("a", ops=[OpOutcome("x", True), OpOutcome("y", False)])
    fleet = FleetOutcome({"a": fine, "b": HostOutcome("b", error="no")})
    assert (fleet.changes, [host.host for host in fleet.failed], fleet.ok) == (1, ["b"], False)


def test_a_diff_says_where_a_newline_is_missing():
    assert unified_diff("/etc/x", "a\n", "a\nb").splitlines() == [
        "--- /etc/x", "+++ /etc/x", "@@ -1 +1,2 @@", " a", "+b", "\\ No newline at end of file",
    ]  # fmt: skip


def test_a_new_file_is_a_diff_against_nothing():
    assert unified_diff("/etc/x", None, "a\n").splitlines()[0] == "--- /dev/null"


def test_what_changes_nothing_may_still_have_something_to_say() -> None:
    note = Note("max_connections", "100 in effect, 120 wanted, waits for a restart")
    host = HostOutcome("db", ops=[OpOutcome("quiet", False), OpOutcome("settle", False, notes=[note])])
    assert host.changes == []
    assert [op.name for op in host.remarks] == ["settle"]


def test_what_waits_is_named_whatever_else_its_operation_did_and_not_where_it_failed() -> None:
    waits, other = Note("max_connections", "waits for a restart", pending=True), Note("work_mem", "4MB wanted")
    done = OpOutcome("settle", True, notes=[other, waits])
    failed = OpOutcome("follow", True, ok=False, notes=[waits])
    assert HostOutcome("db", ops=[done, failed]).pending == ["max_connections: waits for a restart"]
