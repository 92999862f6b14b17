"""What all tests share: the page of coverage, and the rule that tests of real hosts need root on Linux."""

from __future__ import annotations

import dataclasses
import datetime
import json
import os
import re
import socket
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from tests.coverage import Claim, marked, page

if os.environ.get("PYTEST_XDIST_WORKER"):
    # Importing pyinfra's command line patches the standard library for gevent, and a worker of xdist does not survive
    # that. What drives real hosts is tested as commands in processes of their own, which do patch it.
    from gevent import monkey

    monkey.patch_all = lambda **_: None

# A deadline for each example would test how busy the machine is.
settings.register_profile("mainstay", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("mainstay")

ROW = re.compile(r"[A-Z]{2}-\d{2}")
_CLAIMS = pytest.StashKey[list[Claim]]()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--coverage-page", metavar="FILE", help="write the page of covered catalogue rows to FILE")
    # What ran in a session of its own counts on the page of the next one.
    parser.addoption("--claims-out", metavar="FILE", help="write what this session's tests claim to FILE")
    parser.addoption("--claims-in", metavar="FILE", help="count what an earlier session wrote to FILE, too")


def pytest_configure(config: pytest.Config) -> None:
    earlier = config.getoption("--claims-in")
    config.stash[_CLAIMS] = [Claim(*claim) for claim in json.loads(Path(earlier).read_text())] if earlier else []


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Marks what stands in tests/lab; a lab that cannot run there fails, it is never skipped."""
    for item in items:
        if "lab" in item.path.parts and "tests" in item.path.parts:
            item.add_marker(pytest.mark.lab)
        for marker in item.iter_markers("covers"):
            for row in marker.args:
                if not ROW.fullmatch(row):
                    raise pytest.UsageError(f"{item.nodeid}: covers({row!r}), expected an id such as 'NX-01'")
                # user_properties travel with the report from xdist's workers.
                item.user_properties.append(("covers", row))
        item.user_properties.append(("lab", item.get_closest_marker("lab") is not None))


class Collector:
    """Collects the claims of every finished test, in the one process that sees all reports, and writes them down."""

    def __init__(self, config: pytest.Config) -> None:
        self.config = config

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.when != "call" and report.passed:
            return
        rows = [value for key, value in report.user_properties if key == "covers"]
        lab = ("lab", True) in report.user_properties
        name = report.nodeid.split("[")[0]
        claims = self.config.stash[_CLAIMS]
        claims += [Claim(str(row), name, lab, report.passed) for row in rows]
        seen = [value for key, value in report.user_properties if key == "verified"]
        claims += [Claim(*claim) for claim in seen if isinstance(claim, list | tuple)]

    def pytest_sessionfinish(self) -> None:
        claims = self.config.stash[_CLAIMS]
        if path := self.config.getoption("--coverage-page"):
            day = datetime.datetime.now(datetime.UTC).date()
            Path(path).write_text(page(claims, day, marked()))
        if out := self.config.getoption("--claims-out"):
            Path(out).write_text(json.dumps([dataclasses.astuple(claim) for claim in claims]))


@pytest.hookimpl(tryfirst=True)
def pytest_sessionstart(session: pytest.Session) -> None:
    wanted = session.config.getoption("--coverage-page") or session.config.getoption("--claims-out")
    if wanted and not os.environ.get("PYTEST_XDIST_WORKER"):
        session.config.pluginmanager.register(Collector(session.config), "mainstay-coverage")


@pytest.fixture
def python() -> str:
    """The interpreter that runs the tests, for commands in a process of their own."""
    return sys.executable


@pytest.fixture(scope="session")
def refusing_port() -> Iterator[int]:
    """A port of 127.0.0.1 that refuses connections, and that nobody takes: it is bound, and not listening."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        yield int(held.getsockname()[1])
