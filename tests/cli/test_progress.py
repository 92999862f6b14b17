"""What is seen of a run: lines that move on a terminal, plain lines elsewhere, a table at the end of both."""

from __future__ import annotations

import os
import pty
import subprocess
import sys

from mainstay.cli import reporting

RUN = """
import time
from mainstay.cli import reporting
from mainstay.engine.report import BatchResult, EnvironmentResult, PutBack, RunResult

reporter = reporting.ConsoleReporter()
reporter.begin("production app", ["app-1", "app-2"])
reporter.host_op("app-1", "nginx: files", "start")
reporter.host_op("app-2", "base: packages", "start")
reporter.host_op("app-2", "base: packages", "ok")
reporter.told("app-2 is slow")
time.sleep(2.6)
reporter.host_op("app-2", "nginx: files", "failed")
reporter.end("production app", 2.6, "1 of 2 hosts failed")
reporter.close()
batch = BatchResult("app", ["app-1", "app-2"], changes=3, passed=40, failed=1, seconds=2.6, failures={"app-2": "502"})
batch.pending = {"app-1": ["max_connections: waits for a restart"]}
back = PutBack("app-1", ok=True, irreversible=["package nginx was installed"])
one = EnvironmentResult("shop/production", "r1", "abcdef0123456789", "put back", batches=[batch], put_back=[back])
one.unproven = {"gpu": ["ml-1", "ml-2"], "scylla": ["scylla-1"]}
reporting.show(RunResult("shop", "rollout", [one], seconds=2.6, notes=["went round the gate"]))
"""


def run(stderr: int) -> str:
    surroundings = {**os.environ, "TERM": "xterm", "COLUMNS": "100"}
    done = subprocess.run(
        [sys.executable, "-c", RUN], stdout=subprocess.PIPE, stderr=stderr, env=surroundings, check=True
    )
    return done.stdout.decode()


def on_terminal() -> tuple[str, str]:
    """What a terminal gets on standard error, and what standard output gets beside it."""
    ours, theirs = pty.openpty()
    try:
        out = run(theirs)
    finally:
        os.close(theirs)
    said = b""
    while True:
        try:
            part = os.read(ours, 65536)
        except OSError:  # how Linux says that nobody writes any more
            break
        if not part:
            break
        said += part
    os.close(ours)
    return said.decode(), out


def test_elsewhere_than_on_a_terminal_each_line_is_plain_and_says_that_it_goes_on() -> None:
    ours, theirs = os.pipe()
    out = run(theirs)
    os.close(theirs)
    said = os.read(ours, 65536).decode()
    os.close(ours)
    assert "\x1b" not in said
    lines = [line.partition("] ")[2] or line for line in said.splitlines()]
    assert lines == [
        "production app: app-1, app-2",
        "app-2 is slow",
        "  production app ... 2 s: app-1 (nginx: files)",
        "  app-2: nginx: files: failed",
        "production app: 1 of 2 hosts failed (2.6 s)",
    ]
    assert_summary(out)


def test_on_a_terminal_each_host_has_a_line_that_moves() -> None:
    said, out = on_terminal()
    assert "\x1b[" in said
    for words in ("app-1", "nginx: files", "app-2 is slow", "production app: 1 of 2 hosts failed"):
        assert words in said, words
    assert_summary(out)


def assert_summary(out: str) -> None:
    rows = [line.split() for line in out.splitlines()]
    assert ["step", "hosts", "changes", "checks", "seconds"] in rows
    assert ["production", "app", "app-1,", "app-2", "3", "40", "ok,", "1", "failed", "2.6"] in rows
    assert "shop/production: put back, run r1, change abcdef012345" in out
    assert "  failed app-2: 502" in out
    assert "  pending app-1: max_connections: waits for a restart" in out
    assert "  put back app-1\n    cannot be undone: package nginx was installed" in out
    assert "not proven in the lab: gpu (ml-1, ml-2); scylla (scylla-1)" in out
    assert "went round the gate" in out


def test_of_many_hosts_at_work_three_are_named() -> None:
    reporter = reporting.ConsoleReporter()
    for number in range(5):
        reporter.host_op(f"app-{number}", "Packages", "start")
    reporter.host_op("app-1", "Packages", "failed")
    assert reporter._at_work() == "app-0 (Packages), app-2 (Packages), app-3 (Packages) and 1 more"
